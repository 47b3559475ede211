-- placement_forget.lua: remove a placement that is as it was seen.
-- KEYS: pooling
-- ARGV: <k>.<p>, name, from when on it may be forgotten (ms)
local found = placement(ARGV[1], ARGV[2])
if found.left_at() == ARGV[3] then
  found.forget()
end
return 0
