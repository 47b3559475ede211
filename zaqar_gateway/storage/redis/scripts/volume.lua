-- volume.lua: how many messages a queue has.
-- KEYS: queue
-- ARGV: now
-- Returns {total, claimed}.
local live = '(' .. now
return {call('ZCOUNT', alive, live, '+inf'), call('ZCOUNT', held, live, '+inf')}
