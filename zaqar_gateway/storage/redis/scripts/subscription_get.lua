-- subscription_get.lua: a live subscription.
-- KEYS: queue
-- ARGV: now, id
-- Returns {now, what show() gives}, {now} where there is none.
local name, ttl, created, _, confirmed, owner, options = subscription(ARGV[2])
local out = {now}
if name then
  show(out, ARGV[2], name, ttl, created, confirmed, owner, options)
end
return out
