-- flavor_get.lua: a flavor.
-- KEYS: pooling
-- ARGV: project, name
-- Returns whether it exists (1 or 0), then the names of its pools.
if not call('ZSCORE', base .. ':flavors.' .. ARGV[1], ARGV[2]) then
  return {0}
end
return {1, unpack(of_flavor(ARGV[2]))}
