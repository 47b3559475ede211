-- log.lua: appending to the log of posts, from which subscribers are told.
--
--   posts  stream  rank: t ttl (s), b body, s bytes before it, d delay (s, in queues that know delay); and, of what one
--                  subscription alone is owed, o that one, k the kind of a notice, u until when it may be answered (s)
--   about  hash    rank the last one given out, bytes all that were ever appended, from how many of them are before the
--                  first entry, max and age the bounds (bytes, ms), gone the last rank that was trimmed, lost the last
--                  that was trimmed before all were done with it, v changes whenever a subscription does
local ENTRY = 64 -- bytes that an entry counts for besides its body

-- Its functions are made only where there is something to tell: most posts have no use for them.
local function open_log()
  local posts, about = base .. ':p', base .. ':um'

  local function begun()
    local known = call('HMGET', about, 'bytes', 'max', 'from')
    return {bytes = tonumber(known[1]), max = tonumber(known[2]), from = tonumber(known[3])}
  end

  local function post(told, rank, ttl, body, delay)
    if delay then
      call('XADD', posts, rank, 't', ttl, 'b', body, 's', text(told.bytes), 'd', delay)
    else
      call('XADD', posts, rank, 't', ttl, 'b', body, 's', text(told.bytes))
    end
    told.bytes = told.bytes + #body + ENTRY
  end

  -- Removes the oldest entries up to and with a rank, where there are any; `is_loss` says whether somebody wanted them.
  local function trim(rank, is_loss)
    -- XREVRANGE alone walks back over all entries where the first is behind the rank.
    local last = #call('XRANGE', posts, '-', rank, 'COUNT', 1) > 0 and call('XREVRANGE', posts, rank, '-', 'COUNT', 1)[1]
    if last then
      local gone = last[1]:sub(1, -3)
      call('XTRIM', posts, 'MINID', '=', text(tonumber(gone) + 1))
      local first = call('XRANGE', posts, '-', '+', 'COUNT', 1)[1]
      call('HSET', about, 'gone', gone, 'from', first and first[2][6] or call('HGET', about, 'bytes'))
      if is_loss then
        call('HSET', about, 'lost', gone)
      end
    end
  end

  -- Keeps the log below its bound of bytes; the newest entry stays.
  local function shrink(told)
    local newest = call('XREVRANGE', posts, '+', '-', 'COUNT', 1)[1]
    local from, count, last = '-', 1, nil
    while true do
      local found = call('XRANGE', posts, from, '+', 'COUNT', count)
      local fits = false
      for _, one in ipairs(found) do
        if one[1] == newest[1] or told.bytes - tonumber(one[2][6]) <= told.max then
          fits = true
          break
        end
        last = one[1]:sub(1, -3)
      end
      if fits or #found < count then
        break
      end
      from, count = '(' .. last, math.min(count * 2, 100)
    end
    if last then
      trim(last, true)
    end
  end

  -- Tells whoever waits.  `ready` is filled by those alone that nobody delivers to just now.
  -- Returns whether there are such.
  local function ring_all()
    ring(base)
    if call('EXISTS', base .. ':ur') == 1 then
      call('PUBLISH', base:match('^[^{]*') .. 'owed', base)
      return true
    end
  end

  local function ended(told, rank)
    call('HSET', about, 'rank', rank, 'bytes', text(told.bytes))
    if told.bytes - told.from > told.max then
      shrink(told)
    end
    return ring_all()
  end

  return {posts = posts, about = about, begun = begun, post = post, trim = trim, ring = ring_all, ended = ended}
end
