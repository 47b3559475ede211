-- flavor_delete.lua: remove a flavor; its pools lose it unless another project has one of that name.
-- KEYS: pooling
-- ARGV: project, name
local name = ARGV[2]
if call('ZREM', base .. ':flavors.' .. ARGV[1], name) == 0 then
  return 0
end
count(projects, name, -1)
if call('HEXISTS', projects, name) == 0 then
  for _, pool in ipairs(of_flavor(name)) do
    call('HDEL', pool_key(pool), 'flavor')
  end
  call('INCR', version)
end
return 0
