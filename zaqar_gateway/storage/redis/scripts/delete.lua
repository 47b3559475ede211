-- delete.lua: delete messages by id.
-- KEYS: queue
-- ARGV: now, mode, number of claims, claims, then of each id: rank, incarnation
--   mode 'one': one id; the claim, where there is one, has to be the one that holds it, and is needed where one does
--   mode 'any': claimed or not
--   mode 'under': each message has to be under one of the claims, or none is deleted
-- Returns {0}, or {1, n}: the n-th message is claimed, or {2, n}: it is not under the claim given.
local known = call('HMGET', base, 'inc', 'later', 'moved')
if not known[1] then
  return {0}
end
local mode, number = ARGV[2], tonumber(ARGV[3])
local given = {}
for i = 4, 3 + number do
  given[ARGV[i]] = true
end
local ranks, left = {}, {}
for i = 4 + number, #ARGV, 2 do
  local rank = resolve(ARGV[i], ARGV[i + 1], known[1], known[3])
  local expires = rank and call('ZSCORE', alive, rank)
  if expires and tonumber(expires) > now then
    local packed = call('HGET', state, rank)
    local claim
    if packed then
      local holder, lapses = cmsgpack.unpack(packed)
      if lapses > now then claim = holder end
    end
    local nth = (i - 4 - number) / 2 + 1
    if mode == 'one' and number == 0 and claim then
      return {1, nth}
    elseif (mode == 'under' or number > 0) and not (claim and given[claim]) then
      local other = claim and mode == 'one' and call('HGET', claims, ARGV[4])
      if other then
        local _, lapses = cmsgpack.unpack(other)
        if lapses > now then return {1, nth} end
      end
      return {2, nth}
    end
    if not left[rank] then
      left[rank] = claim or true
      ranks[#ranks + 1] = rank
    end
  end
end
if #ranks > 0 then
  local leaving = {}
  for _, claim in pairs(left) do
    if claim ~= true then
      leaving[claim] = (leaving[claim] or 0) + 1
    end
  end
  leave_claims(leaving)
  remove(ranks, known[2])
end
return {0}
