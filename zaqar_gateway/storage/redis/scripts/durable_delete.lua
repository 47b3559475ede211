-- durable_delete.lua: forget a durable name.
-- KEYS: queue
-- ARGV: now, name
-- Returns whether there was one: 1 or 0.
local marker, owner = durable(ARGV[2])
forget(ARGV[2])
if not marker then
  return 0
end
tell(owner)
return 1
