-- flavor_list.lua: a page of the flavors of a project.
-- KEYS: pooling
-- ARGV: project, marker, limit
-- Returns of each {name, pools...}.
local out = {}
for _, name in ipairs(call('ZRANGE', base .. ':flavors.' .. ARGV[1], '(' .. ARGV[2], '+', 'BYLEX', 'LIMIT', 0, ARGV[3])) do
  out[#out + 1] = {name, unpack(of_flavor(name))}
end
return out
