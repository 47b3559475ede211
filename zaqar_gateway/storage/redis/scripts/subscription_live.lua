-- subscription_live.lua: which of some subscriptions are live.
-- KEYS: queue
-- ARGV: now, ids
-- Returns their ids.
drop_expired()
local out = {}
for i = 2, #ARGV do
  if call('HEXISTS', subs, ARGV[i]) == 1 then
    out[#out + 1] = ARGV[i]
  end
end
return out
