-- failed_count.lua: how many deliveries that were given up are kept.
-- KEYS: queue
-- ARGV: now
forget_old()
return call('XLEN', failed)
