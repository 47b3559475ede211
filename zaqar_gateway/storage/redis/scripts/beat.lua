-- beat.lua: a gateway lives.
-- KEYS: gateways (hash: name to when it last said so, ms; 0 where it is dead and not yet cleared away)
-- ARGV: now ('' asks Redis's clock), name, how long silence is no death (ms), what it says of itself: 'new', 'alive', or
--       'back' from the dead
-- Where nobody at all has said so for half of that time the store was away, and whoever lived then is given the time anew.
-- Returns {whether it was taken for dead, how many live, those, the dead}; who was taken for dead stays so until it is back.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local seen, said = redis.call('HGET', KEYS[1], ARGV[2]), string.format('%.0f', now)
local was_dead = ARGV[4] ~= 'back' and seen == '0' or ARGV[4] == 'alive' and not seen
if not was_dead then
  redis.call('HSET', KEYS[1], ARGV[2], said)
end
local live, dead, all, newest = {}, {}, redis.call('HGETALL', KEYS[1]), tonumber(seen or 0)
for i = 1, #all, 2 do
  if all[i] ~= ARGV[2] then
    newest = math.max(newest, tonumber(all[i + 1]))
  end
end
local was_away = newest <= now - ARGV[3] / 2
for i = 1, #all, 2 do
  local beat = tonumber(all[i + 1])
  if beat > 0 and was_away then
    redis.call('HSET', KEYS[1], all[i], said)
  elseif beat > 0 and beat <= now - ARGV[3] then
    redis.call('HSET', KEYS[1], all[i], '0')
    beat = 0
  end
  local list = beat > 0 and live or dead
  list[#list + 1] = all[i]
end
return {was_dead and 1 or 0, live, dead}
