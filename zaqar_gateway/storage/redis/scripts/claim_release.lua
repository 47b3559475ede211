-- claim_release.lua: end a claim.
-- KEYS: queue
-- ARGV: now, claim
local created, _, ranks, states = claim_of(ARGV[2], true)
if created then
  end_claims({ARGV[2]})
  give_back(ranks, states)
  ring(base)
end
return 0
