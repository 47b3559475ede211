-- take.lua: lease what is owed now.
-- KEYS: queue
-- ARGV: now, limit, most posts of each, how long a lease lasts (ms), whether only confirmed ones are delivered to
-- Returns {now, when to look again (ms; 0: there is nothing to look for), retry policy, what owed_to() gives of each...}.
drop_expired()
log_settle()
local limit, batch, ends, required = tonumber(ARGV[2]), tonumber(ARGV[3]), now + ARGV[4], ARGV[5] == '1'
local out, bytes, again = {now, 0, call('HGET', base, 'retry') or ''}, 0, false

local function offer(id)
  if not subscription(id) then -- its time is over, and more than a slice of them are
    drop({id})
    return
  end
  local token, attempts, _, first = lease_of(id)
  local owed, more = owed_to(id, token + 1, attempts, first, batch, required)
  if owed then
    keep_lease(id, token + 1, owed[9], 1, owed[11][1])
    call('ZREM', ready, id)
    call('ZADD', waiting, text(ends), id)
    out[#out + 1] = owed
    for i = 3, #owed[11], 6 do
      bytes = bytes + #owed[11][i]
    end
  else
    keep_lease(id, token, 0, 0, '0')
    stand(id, call('ZSCORE', cursors, id))
    again = again or more
  end
end

local function offer_all(ids)
  for _, id in ipairs(ids) do
    if #out - 3 >= limit or bytes >= 4 * MOST then
      again = true
      return
    end
    offer(id)
  end
end

local function left()
  return limit - (#out - 3)
end

local known = call('HGET', about, 'rank')
if known then
  offer_all(call('ZRANGE', waiting, '-inf', now, 'BYSCORE', 'LIMIT', 0, limit))
  if left() > 0 then
    offer_all(call('ZRANGE', ready, '-inf', '(' .. known, 'BYSCORE', 'LIMIT', 0, left()))
  end
end
local next_one = call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
local over = call('ZRANGE', by_expiry, 0, 0, 'WITHSCORES')[2]
if known and (again or call('ZCOUNT', ready, '-inf', '(' .. known) > 0) then
  next_one = now
end
if over and (not next_one or tonumber(over) < tonumber(next_one)) then
  next_one = over
end
out[2] = tonumber(next_one) or 0
return out
