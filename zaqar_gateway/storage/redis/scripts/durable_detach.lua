-- durable_detach.lua: hold a durable name no longer.
-- KEYS: queue
-- ARGV: now, name, owner
local marker, owner, _, ttl, count = durable(ARGV[2])
if marker and owner == ARGV[3] then
  keep(ARGV[2], marker, '', now, ttl, count, 0)
end
return 0
