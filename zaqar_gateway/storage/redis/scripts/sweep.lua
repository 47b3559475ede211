-- sweep.lua: what is due in a queue that nobody may be touching.
-- KEYS: queue
-- ARGV: now
-- Returns whether there may be more: 1 or 0.
local more, unswept = settle(call('HGET', base, 'later'))
return (more or unswept) and 1 or 0
