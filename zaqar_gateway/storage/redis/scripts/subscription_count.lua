-- subscription_count.lua: how many live subscriptions a queue has.
-- KEYS: queue, followed (as in subscription_create.lua)
-- ARGV: now, name of the queue
-- Returns the number.
local live = call('ZCOUNT', base .. ':ue', '(' .. now, '+inf')
if live == 0 then
  call('ZREM', KEYS[2], ARGV[2])
end
return live
