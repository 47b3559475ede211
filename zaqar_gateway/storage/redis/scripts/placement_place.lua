-- placement_place.lua: make a placement hold.
-- KEYS: pooling
-- ARGV: <k>.<p>, name, pool where there is none, whether it is bound ('1' or '')
-- Returns {pool}, or {} where that does not exist.
local found = placement(ARGV[1], ARGV[2])
if found.state and not pool_exists(found.pool) then
  found.forget() -- it was left, or it would have kept its pool
end
local pool = found.pool or ARGV[3]
if not pool_exists(pool) then
  return {}
end
local is_bound = ARGV[4] == '1' or found.state == 'b' or found.state == 'k'
local state = is_bound and 'b' or 'p'
if found.state ~= state then
  found.set(state, pool)
end
return {pool}
