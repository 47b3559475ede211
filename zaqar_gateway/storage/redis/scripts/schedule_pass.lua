-- schedule_pass.lua: put off the next look at a place, unless somebody has changed it meanwhile.
-- KEYS: schedule
-- ARGV: queue, when it was to be looked at as it was seen, when next (ms; '': never)
if redis.call('ZSCORE', KEYS[1], ARGV[1]) == ARGV[2] then
  if ARGV[3] == '' then
    redis.call('ZREM', KEYS[1], ARGV[1])
  else
    redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  end
end
return 0
