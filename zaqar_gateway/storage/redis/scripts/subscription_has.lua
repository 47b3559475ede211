-- subscription_has.lua: whether a queue has a live subscription of a subscriber.
-- KEYS: queue
-- ARGV: now, subscriber
-- Returns 1 or 0.
local id = call('HGET', by_name, ARGV[2])
return id and subscription(id) and 1 or 0
