-- delete.lua: delete messages by id: those of several requests, one after the other.
-- KEYS: queue
-- ARGV: now, mode, then of each request: number of claims, number of ids, claims, then of each id: rank, incarnation
--   mode 'one': one id; the claim, where there is one, has to be the one that holds it, and is needed where one does
--   mode 'any': claimed or not
--   mode 'under': each message has to be under one of the claims, or none is deleted
-- Returns of each request {0}, or {1, n}: the n-th message is claimed, or {2, n}: it is not under the claim given.
local known = call('HMGET', base, 'inc', 'later', 'moved', 'cut', 'bytes', 'dead_letters')
local mode, own, has_moved = ARGV[2], known[1], known[3]
-- Of each request its claims, the ranks that its ids mean, each once, and which of the ids it was.
local requests, asked, at = {}, {}, 3
while ARGV[at] do
  local request = {number = tonumber(ARGV[at]), claim = ARGV[at + 2], given = {}, ranks = {}, nth = {}}
  local ids = at + 2 + request.number
  local ended = ids + 2 * tonumber(ARGV[at + 1])
  for i = at + 2, ids - 1 do
    request.given[ARGV[i]] = true
  end
  for i = ids, own and ended - 1 or 0, 2 do
    local rank = ARGV[i]
    if has_moved or ARGV[i + 1] ~= own then
      rank = resolve(rank, ARGV[i + 1], own, has_moved)
    end
    if rank and not request.nth[rank] then
      request.ranks[#request.ranks + 1], request.nth[rank] = rank, (i - ids) / 2 + 1
      asked[#asked + 1] = rank
    end
  end
  requests[#requests + 1] = request
  at = ended
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

local gone, leaving, is_removed = {}, {}, {}
local kept = {known[4], known[5], known[6]}

local function take_out()
  if #gone > 0 then
    remove(gone, known[2], kept, are_out)
    leave_claims(leaving) -- after something was removed, so that it works when Redis has no memory left
    gone, leaving = {}, {}
  end
end

local holder, lapses, read -- what the state says that was read last: messages of one claim mostly have the same

-- What is answered to a request, whose ranks are those asked for after `before`; what it deletes goes to `gone`.
local function judge_request(request, before)
  local ranks, holders = {}, {}
  for i, rank in ipairs(request.ranks) do
    local expires = expiries[before + i]
    if not is_removed[rank] and (are_out or expires and (at_once or tonumber(expires) > now)) then
      local packed = states[before + i]
      if packed and packed ~= read then
        holder, lapses = cmsgpack.unpack(packed)
        read = packed
      end
      local claim = packed and lapses > now and holder
      if mode == 'one' and request.number == 0 and claim then
        return {1, request.nth[rank]}
      elseif (mode == 'under' or request.number > 0) and not (claim and request.given[claim]) then
        if claim and mode == 'one' then
          take_out() -- the claim given may have ended with what went before
          local other = call('HGET', claims, request.claim)
          if other then
            local _, ends = cmsgpack.unpack(other)
            if ends > now then return {1, request.nth[rank]} end
          end
        end
        return {2, request.nth[rank]}
      end
      ranks[#ranks + 1] = rank
      holders[#ranks] = packed and holder ~= '' and holder -- of a lapsed claim, too, which may not have been cleared away yet
    end
  end
  for i, rank in ipairs(ranks) do
    gone[#gone + 1], is_removed[rank] = rank, true
    local claim = holders[i]
    if claim then
      leaving[claim] = (leaving[claim] or 0) + 1
    end
  end
  return {0}
end

local answers, before = {}, 0
for i, request in ipairs(requests) do
  answers[i] = judge_request(request, before)
  before = before + #request.ranks
end
take_out()
return answers
