-- placement_leave.lua: a queue or topic is being deleted.
-- KEYS: pooling
-- ARGV: now (ms; '' asks Redis's clock), <k>.<p>, name, after how long its placement may be forgotten (ms),
--       from when on it might be as it was seen ('': however it is)
local found = placement(ARGV[2], ARGV[3])
if ARGV[5] == '' or found.left_at() == ARGV[5] then
  found.leave(milliseconds(ARGV[1]) + ARGV[4])
end
return 0
