-- flavor_put.lua: make pools, and no others, those of a flavor.
-- KEYS: pooling
-- ARGV: project, name, whether it is made where it is missing ('1' or ''), pools
-- Returns {1}, {0} where it is missing, or {2, a pool that does not exist}.
local flavors, name, wanted = base .. ':flavors.' .. ARGV[1], ARGV[2], {}
local is_there = call('ZSCORE', flavors, name)
if not is_there and ARGV[3] == '' then
  return {0}
end
for i = 4, #ARGV do
  if call('EXISTS', pool_key(ARGV[i])) == 0 then
    return {2, ARGV[i]}
  end
  wanted[ARGV[i]] = true
end
for _, pool in ipairs(of_flavor(name)) do
  if not wanted[pool] then
    call('HDEL', pool_key(pool), 'flavor')
  end
end
for pool in pairs(wanted) do
  call('HSET', pool_key(pool), 'flavor', name)
end
if not is_there then
  call('ZADD', flavors, 0, name)
  call('HINCRBY', projects, name, 1)
end
call('INCR', version)
return {1}
