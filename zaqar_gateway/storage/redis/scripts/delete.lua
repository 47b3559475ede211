-- delete.lua: delete messages by id.
-- KEYS: queue
-- ARGV: now, mode, number of claims, claims, then of each id: rank, incarnation
--   mode 'one': one id; the claim, where there is one, has to be the one that holds it, and is needed where one does
--   mode 'any': claimed or not
--   mode 'under': each message has to be under one of the claims, or none is deleted
-- Returns {0}, or {1, n}: the n-th message is claimed, or {2, n}: it is not under the claim given.
local known = call('HMGET', base, 'inc', 'later', 'moved', 'cut', 'bytes', 'dead_letters')
if not known[1] then
  return {0}
end
local mode, number = ARGV[2], tonumber(ARGV[3])
local given = {}
for i = 4, 3 + number do
  given[ARGV[i]] = true
end
-- Ranks that the ids mean, each once, and which of the ids it was.
local asked, nth, own, has_moved = {}, {}, known[1], known[3]
for i = 4 + number, #ARGV, 2 do
  local rank = ARGV[i]
  if has_moved or ARGV[i + 1] ~= own then
    rank = resolve(rank, ARGV[i + 1], own, has_moved)
  end
  if rank and not nth[rank] then
    asked[#asked + 1], nth[rank] = rank, (i - 4 - number) / 2 + 1
  end
end
-- Where it does not matter who has them, taking them out of the stream tells whether all were there, and when they expire need
-- not be asked, which would be an eighth of the whole.
local at_once, number_out = mode == 'any' and not known[2] and not known[5], 0
if at_once then
  each_slice(asked, function(...) number_out = number_out + call('XDEL', main, ...) end)
end
local are_out = at_once and number_out == #asked
local expiries, states = {}, {}
each_slice(asked, function(...)
  if not are_out then
    for _, expires in ipairs(call('ZMSCORE', alive, ...)) do
      expiries[#expiries + 1] = expires
    end
  end
  for _, packed in ipairs(call('HMGET', state, ...)) do
    states[#states + 1] = packed
  end
end)
local ranks, leaving = {}, {}
local holder, lapses, read -- what the state says that was read last: messages of one claim mostly have the same
for i, rank in ipairs(asked) do
  if are_out or expiries[i] and (at_once or tonumber(expiries[i]) > now) then
    local packed = states[i]
    if packed and packed ~= read then
      holder, lapses = cmsgpack.unpack(packed)
      read = packed
    end
    local claim = packed and lapses > now and holder
    if mode == 'one' and number == 0 and claim then
      return {1, nth[rank]}
    elseif (mode == 'under' or number > 0) and not (claim and given[claim]) then
      local other = claim and mode == 'one' and call('HGET', claims, ARGV[4])
      if other then
        local _, ends = cmsgpack.unpack(other)
        if ends > now then return {1, nth[rank]} end
      end
      return {2, nth[rank]}
    end
    if packed and holder ~= '' then -- of a lapsed claim, too, which may not have been cleared away yet
      leaving[holder] = (leaving[holder] or 0) + 1
    end
    ranks[#ranks + 1] = rank
  end
end
if #ranks > 0 then
  remove(ranks, known[2], {known[4], known[5], known[6]}, are_out)
  leave_claims(leaving) -- after something was removed, so that it works when Redis has no memory left
end
return {0}
