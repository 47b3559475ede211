-- claim_of.lua: a live claim by id, for reading, renewing and ending it.

-- Its created (ms), ttl (s), the ranks still in it and their states; nothing where there is no such live claim.
local function claim_of(claim)
  local packed = call('HGET', claims, claim)
  if not packed then
    return
  end
  local created, lapses, ttl, all = cmsgpack.unpack(packed)
  if lapses <= now then
    return
  end
  local ranks, states = {}, {}
  each_slice(all, function(...)
    local some = {...}
    for i, one in ipairs(call('HMGET', state, ...)) do
      if one and cmsgpack.unpack(one) == claim then
        ranks[#ranks + 1], states[#states + 1] = some[i], one
      end
    end
  end)
  return created, ttl, ranks, states
end
