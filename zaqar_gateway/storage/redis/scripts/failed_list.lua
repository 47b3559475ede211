-- failed_list.lua: a page of the deliveries that were given up.
-- KEYS: queue
-- ARGV: now, marker (rank), limit
-- Returns {now, then of each: rank, subscription, subscriber, attempts, reason, kind of a notice}.
forget_old()
local out = {now}
for _, one in ipairs(call('XRANGE', failed, '(' .. ARGV[2], '+', 'COUNT', ARGV[3])) do
  local n, entry = #out, one[2]
  out[n + 1], out[n + 2], out[n + 3] = one[1]:sub(1, -3), entry[2], entry[4]
  out[n + 4], out[n + 5], out[n + 6] = entry[6], entry[8], entry[16]
end
return out
