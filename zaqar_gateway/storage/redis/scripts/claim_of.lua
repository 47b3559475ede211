-- claim_of.lua: a live claim by id, for reading, renewing and ending it.

-- Its created (ms), ttl (s), the ranks still in it and their states; nothing where there is no such live claim.
-- Where it is to be changed it is no run any more.
local function claim_of(claim, to_change)
  local packed = call('HGET', claims, claim)
  if not packed then
    return
  end
  local created, lapses, ttl, all = cmsgpack.unpack(packed)
  if lapses <= now then
    return
  end
  local found, run_of = states_of(all)
  local run = run_of[1]
  if run then
    if to_change then write_out(run) end
    all = run[3]
    for i = 1, #all do
      found[i] = run[4]
    end
  end
  local ranks, states = {}, {}
  for i, one in ipairs(found) do
    if one and cmsgpack.unpack(one) == claim then
      ranks[#ranks + 1], states[#states + 1] = all[i], one
    end
  end
  return created, ttl, ranks, states
end
