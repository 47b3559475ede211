-- durable_advance.lua: give messages to a durable name, and move its marker.
-- KEYS: queue
-- ARGV: now, name, owner, hold (ms), step, marker, ids
-- Returns whether the owner holds the name: 1 or 0.
local name, step = ARGV[2], tonumber(ARGV[5])
local ttl, count, last = held_by(name, ARGV[3], ARGV[4])
if not ttl then
  return 0
end
if step <= last then
  return 1
end
local given = {}
for i = 7, #ARGV do
  count = count + 1
  given[#given + 1], given[#given + 2] = count, ARGV[i]
end
each_slice(given, function(...) call('ZADD', pending_of(name), 'NX', ...) end)
keep(name, ARGV[6], ARGV[3], now + ARGV[4], ttl, count, step)
return 1
