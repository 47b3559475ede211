-- claim_get.lua: a live claim and its messages.
-- KEYS: queue
-- ARGV: now, claim
-- Returns {now, incarnation, created (ms), ttl (s), messages...}; an incarnation of '' where there is no such claim.
local known = call('HMGET', base, 'inc', 'later')
local created, ttl_s, ranks, states = claim_of(ARGV[2])
if not created then
  return {now, '', 0, 0}
end
local out = {now, known[1], created, ttl_s}
for i, rank in ipairs(ranks) do
  local entry = fetch(rank, known[2])
  local _, ttl, count, claim = judge(rank, entry, states[i])
  emit(out, rank, whole(entry), ttl, claim, count)
end
return out
