-- durable_advance.lua: give messages to a durable name, and move its marker.
-- KEYS: queue
-- ARGV: now, name, owner, hold (ms), marker, ids
-- Returns whether the owner holds the name: 1 or 0.
local name = ARGV[2]
local _, ttl = held_by(name, ARGV[3], ARGV[4])
if not ttl then
  return 0
end
local given = {}
for i = 6, #ARGV do
  given[#given + 1], given[#given + 2] = tonumber(ARGV[i]:sub(1, 14), 16), ARGV[i]
end
each_slice(given, function(...) call('ZADD', pending_of(name), ...) end)
keep(name, ARGV[5], ARGV[3], now + ARGV[4], ttl)
return 1
