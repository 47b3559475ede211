-- subscription_leave.lua: end the subscriptions of one owner.
-- KEYS: queue
-- ARGV: now, owner
local all, ids = call('HGETALL', owners), {}
for i = 1, #all, 2 do
  if all[i + 1] == ARGV[2] then
    ids[#ids + 1] = all[i]
  end
end
if #ids > 0 then
  drop(ids)
end
return 0
