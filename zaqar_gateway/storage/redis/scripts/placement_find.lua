-- placement_find.lua: where a queue or topic is.
-- KEYS: pooling
-- ARGV: <k>.<p>, name
-- Returns {} where it has no placement, else {pool, from when on it may be forgotten (ms; '': it holds; 0: it is bound)}.
local found = placement(ARGV[1], ARGV[2])
if not found.state then
  return {}
end
return {found.pool, found.left_at() or found.state == 'k' and '0' or ''}
