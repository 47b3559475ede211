-- placement_place.lua: make a placement hold.
-- KEYS: pooling
-- ARGV: <k>.<p>, name, pool where there is none, whether it is bound ('1' or '')
-- Returns {pool}, or {} where that does not exist.
local found = placement(ARGV[1], ARGV[2])
local pool = found.pool_or(ARGV[3])
if not pool then
  return {}
end
local is_bound = ARGV[4] == '1' or found.state == 'b' or found.state == 'k'
local state = is_bound and 'b' or 'p'
if found.state ~= state then
  found.set(state, pool)
end
return {pool}
