-- placement_list.lua: a page of the placements of a project.
-- KEYS: pooling
-- ARGV: <k>.<p>, marker, limit
-- Returns {name, pool, ...}.
local names = call('ZRANGE', base .. ':names.' .. ARGV[1], '(' .. ARGV[2], '+', 'BYLEX', 'LIMIT', 0, ARGV[3])
local out = {}
for i, name in ipairs(names) do
  out[2 * i - 1], out[2 * i] = name, call('HGET', base .. ':placed.' .. ARGV[1], name):sub(2)
end
return out
