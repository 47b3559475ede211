-- placement_prepare.lua: have a placement for a queue or topic that is about to be made.
-- KEYS: pooling
-- ARGV: now (ms; '' asks Redis's clock), <k>.<p>, name, pool where there is none, after how long it may be forgotten, unless it holds (ms)
-- Returns {pool}, or {} where that does not exist.
local found = placement(ARGV[2], ARGV[3])
local pool = found.pool_or(ARGV[4])
if not pool then
  return {}
end
found.prepare(pool, milliseconds(ARGV[1]) + ARGV[5])
return {pool}
