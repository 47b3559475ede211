-- owed.lua: reading the log of posts.
local MOST = 262144 -- bytes after which a batch of posts ends

-- Trims what all are done with, and what is too old.  Readers of sockets keep their cursors to themselves: what is younger
-- than a minute stays for them.
local function log_settle()
  local known = call('HMGET', about, 'rank', 'age')
  if not known[1] then
    return
  end
  local newest = tonumber(known[1])
  local behind, slowest = newest, call('ZRANGE', cursors, 0, 0, 'WITHSCORES')
  if slowest[2] then
    behind = math.min(behind, tonumber(slowest[2]))
  end
  if call('EXISTS', owners) == 1 then
    behind = math.min(behind, micros - 60000000)
  end
  if behind > 0 then
    log.trim(text(behind), false)
  end
  local old = math.min(micros - known[2] * 1000, newest - 1)
  if old > 0 then
    log.trim(text(old), true)
  end
end

-- Appends what the log has to tell after a rank, six values for each post: rank, ttl, body, delay ('': none), the kind of a
-- notice (''), until when it may be answered.  `wanted` says whether an entry counts.
-- Returns how many, the last rank looked at (nil: none), whether to go on from there, and the last rank before the first of
-- them (nil: none).
local function tell(out, after, most, wanted)
  local found, looked, bytes, last, passed = 0, 0, 0, nil, nil
  while true do
    local some = call('XRANGE', posts, '(' .. after, '+', 'COUNT', most)
    for _, one in ipairs(some) do
      local entry, rank = one[2], one[1]:sub(1, -3)
      local only, delay, kind, until_s
      for i = 7, #entry, 2 do
        local field, value = entry[i], entry[i + 1]
        if field == 'o' then only = value end
        if field == 'd' then delay = value end
        if field == 'k' then kind = value end
        if field == 'u' then until_s = value end
      end
      if wanted(only) then
        if found == most or bytes >= MOST then
          return found, last, true, passed
        end
        if found == 0 then passed = last end
        local n = #out
        out[n + 1], out[n + 2], out[n + 3] = rank, entry[2], entry[4]
        out[n + 4], out[n + 5], out[n + 6] = delay or '', kind or '', until_s or '0'
        found, bytes = found + 1, bytes + #entry[4]
      end
      last, after, looked = rank, rank, looked + 1
    end
    if #some < most then
      return found, last, false, passed
    elseif found == most or bytes >= MOST or looked >= SLICE then
      return found, last, true, passed
    end
  end
end

-- What an entry has to be for a subscription: not addressed, unless that is not for it yet, or addressed to it.
local function wanted_by(id, confirmed, required)
  return function(only)
    if only then
      return only == id
    end
    return confirmed == 1 or not required
  end
end

-- What a subscription is owed after where it stands, or nothing; it then stands behind what it is not owed.  `first` is the
-- rank of the post that `attempts` were about; nil: they are about the first of what it is owed.
-- Returns what Owed is made of, and whether to look on where there was nothing.
local function owed_to(id, token, attempts, first, batch, required)
  local name, ttl, created, _, confirmed, owner, options = subscription(id)
  local cursor, lost = call('ZSCORE', cursors, id), call('HGET', about, 'lost')
  local gap = 0
  if tonumber(cursor) < tonumber(lost) then
    cursor, gap = lost, 1
    call('ZADD', cursors, cursor, id)
  end
  local told = {}
  local found, last, more, passed = tell(told, cursor, batch, wanted_by(id, confirmed, required))
  if found > 0 then
    if passed then
      call('ZADD', cursors, passed, id)
    end
    if first and told[1] ~= first then -- what was attempted has been passed over, or is lost
      attempts = 0
    end
    local out = {}
    show(out, id, name, ttl, created, confirmed, owner, options)
    out[8], out[9], out[10], out[11] = token, attempts, gap, told
    return out
  end
  if last then
    call('ZADD', cursors, last, id)
  end
  return nil, more
end
