-- schedule_nudge.lua: look at a place no later than at some instant.
-- KEYS: schedule
-- ARGV: now ('' asks Redis's clock), queue, after how long (ms)
-- Whoever is about to put it off (schedule_pass.lua) sees that it has changed, and does not.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local wanted, at = now + ARGV[3], tonumber(redis.call('ZSCORE', KEYS[1], ARGV[2]))
if at and at <= wanted then
  wanted = at - 1
end
redis.call('ZADD', KEYS[1], string.format('%.0f', wanted), ARGV[2])
return 0
