-- subscription_list.lua: a page of live subscriptions.
-- KEYS: queue
-- ARGV: now, marker, limit
-- Returns {now, whether to go on, the last id looked at, what show() gives of each}.
local out, found, looked = {now, 0, ''}, 0, 0
local marker, limit = ARGV[2], tonumber(ARGV[3])
while found < limit do
  local ids = call('ZRANGE', by_id, '(' .. marker, '+', 'BYLEX', 'LIMIT', 0, limit)
  for _, id in ipairs(ids) do
    marker, looked = id, looked + 1
    local name, ttl, created, _, confirmed, owner, options = subscription(id)
    if name and found < limit then
      show(out, id, name, ttl, created, confirmed, owner, options)
      found = found + 1
    end
  end
  if #ids < limit then
    break
  elseif looked >= SLICE then
    out[2], out[3] = 1, marker
    break
  end
end
return out
