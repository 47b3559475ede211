-- claim_update.lua: renew a live claim from now.
-- KEYS: queue
-- ARGV: now, claim, ttl (s), grace (s)
-- Returns whether the claim was live: 1 or 0.
local known = call('HMGET', base, 'inc', 'later')
local created, ttl_before_s, ranks, states = claim_of(ARGV[2], true)
if not created then
  return 0
end
local claim, ttl_s, grace_s = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local lapses = now + ttl_s * 1000
local holds, renewed, expiries = {}, {}, {}
for i, rank in ipairs(ranks) do
  local _, _, own_expiry, own_ttl, count = cmsgpack.unpack(states[i])
  if tonumber(call('ZSCORE', alive, rank)) <= lapses then
    own_expiry, own_ttl = lapses + grace_s * 1000, ttl_s + grace_s
    expiries[#expiries + 1], expiries[#expiries + 2] = own_expiry, rank
  end
  holds[#holds + 1], holds[#holds + 2] = lapses, rank
  renewed[#renewed + 1], renewed[#renewed + 2] = rank, cmsgpack.pack(claim, lapses, own_expiry, own_ttl, count)
end
each_slice(holds, function(...) call('ZADD', held, ...) end)
each_slice(renewed, function(...) call('HSET', state, ...) end)
each_slice(expiries, function(...) call('ZADD', alive, ...) end)
call('HSET', claims, claim, cmsgpack.pack(now, lapses, ttl_s, ranks))
if lapses < created + ttl_before_s * 1000 then -- sooner than whoever waits for that knows
  ring(base)
end
return 1
