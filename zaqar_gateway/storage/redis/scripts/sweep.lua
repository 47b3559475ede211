-- sweep.lua: what is due in a queue that nobody may be touching.
-- KEYS: queue
-- ARGV: now
-- Returns whether there may be more: 1 or 0.
local known = call('HMGET', base, 'later', 'moved')
local more, unswept = settle(known[1])
local has_old = known[2] and forget_some(base)
return (more or unswept or has_old) and 1 or 0
