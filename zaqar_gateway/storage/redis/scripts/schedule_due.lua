-- schedule_due.lua: the places to look at now.
-- KEYS: schedule (zset: queue by when to look at it, ms)
-- ARGV: now ('' asks Redis's clock), limit
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
return redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[2])
