-- extend.lua: extend leases.
-- KEYS: queue
-- ARGV: now, how long (ms), then of each: subscription, token
-- Returns the subscriptions of those that had not ended.
local out = {}
for i = 3, #ARGV, 2 do
  local token = lease_of(ARGV[i])
  if token == tonumber(ARGV[i + 1]) and is_leased(ARGV[i]) and subscription(ARGV[i]) then
    call('ZADD', waiting, text(now + ARGV[2]), ARGV[i])
    out[#out + 1] = ARGV[i]
  end
end
return out
