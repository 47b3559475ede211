-- subscription_delete.lua: end a subscription.
-- KEYS: queue
-- ARGV: now, id
-- Returns {now, what show() gives}, {now} where there was no live one.
local id = ARGV[2]
local name, ttl, created, _, confirmed, owner, options = subscription(id)
local out = {now}
if name then
  show(out, id, name, ttl, created, confirmed, owner, options)
  drop({id})
  if owner ~= '' then
    ring(base .. ':changed')
  end
end
return out
