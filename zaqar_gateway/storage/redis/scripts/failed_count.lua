-- failed_count.lua: how many deliveries that were given up are kept.
-- KEYS: queue
-- ARGV: now
forget_old()
local kept = call('XLEN', failed)
if kept == 0 then
  call('UNLINK', failed)
end
return kept
