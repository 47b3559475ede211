-- placement_lapsed.lua: placements that may be forgotten.
-- KEYS: pooling
-- ARGV: now (ms; '' asks Redis's clock), limit
-- Returns of each: <k>.<p>, name, pool, from when on (ms).
local out, n = {}, 0
local due = call('ZRANGE', left, '-inf', milliseconds(ARGV[1]), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
for i = 1, #due, 2 do
  local where, name = due[i]:match('^([^/]*)/(.*)$')
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = where, name, placement(where, name).pool, due[i + 1]
  n = n + 4
end
return out
