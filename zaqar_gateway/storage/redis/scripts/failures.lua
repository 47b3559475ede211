-- failures.lua: deliveries that were given up.
--
--   failed  stream  s subscription, n subscriber, a attempts, r reason, and of what was owed: t ttl (s), b body, d delay, k kind
--                   of a notice, u until when it may be answered; c bytes of all before it, as far as these are there
--                   or were sent again by their ids since
local failed = base .. ':x'
local FAILED_MAX, FAILED_AGE = 10000, 14 * 86400 * 1000

local function forget_old()
  call('XTRIM', failed, 'MINID', '=', text(math.max(0, now - FAILED_AGE + 1) * 1000))
end

-- The greatest rank that `failed` has had, though it be gone (nil: none); the bytes before its first entry, and up to its end.
local function known_of_failed()
  local known, rank, from, bytes = call('EXISTS', failed) == 1 and call('XINFO', 'STREAM', failed) or {}, nil, 0, 0
  for i = 1, #known, 2 do
    local field, value = known[i], known[i + 1]
    if field == 'last-generated-id' then
      rank = value:match('^%d+')
    elseif field == 'first-entry' and value then
      from = tonumber(value[2][20]) or 0
    elseif field == 'last-entry' and value then
      bytes = (tonumber(value[2][20]) or 0) + #value[2][12] + ENTRY
    end
  end
  return rank, from, bytes
end

-- Forgets the oldest until the rest, of which the newest stays, is of as many bytes as a log may have.
local function fit(from, bytes)
  local most = tonumber(call('HGET', about, 'max'))
  while bytes - from > most do
    local oldest = call('XRANGE', failed, '-', '+', 'COUNT', 2)
    if #oldest < 2 then
      return
    end
    call('XDEL', failed, oldest[1][1])
    from = tonumber(oldest[2][2][20]) or 0
  end
end

-- Keeps what is given up, unless the log has lost it: then it could not be sent again.
local function fail(id, name, rank, attempts, reason)
  local entry = call('XRANGE', posts, rank, rank)[1]
  local was = {d = '', k = '', u = '0'}
  for i = 1, entry and #entry[2] or 0, 2 do
    was[entry[2][i]] = entry[2][i + 1]
  end
  if not was.t or was.o and was.o ~= id then
    return
  end
  local last, from, bytes = known_of_failed()
  call('XADD', failed, 'MAXLEN', '=', FAILED_MAX, text(next_rank(last)), 's', id, 'n', name,
    'a', attempts, 'r', reason, 't', was.t, 'b', was.b, 'd', was.d, 'k', was.k, 'u', was.u, 'c', text(bytes))
  forget_old()
  fit(from, bytes + #was.b + ENTRY)
  call('PEXPIRE', failed, FAILED_AGE)
end
