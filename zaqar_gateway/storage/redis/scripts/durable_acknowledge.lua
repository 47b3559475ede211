-- durable_acknowledge.lua: messages that were given to a durable name are done.
-- KEYS: queue
-- ARGV: now, name, owner, hold (ms), ids
-- Returns whether the owner holds the name: 1 or 0.
local name = ARGV[2]
if not held_by(name, ARGV[3], ARGV[4]) then
  return 0
end
each_slice({unpack(ARGV, 5)}, function(...) call('ZREM', pending_of(name), ...) end)
return 1
