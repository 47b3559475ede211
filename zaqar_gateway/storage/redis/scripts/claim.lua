-- claim.lua: give the oldest deliverable messages to claims, to one after the other, or to claims of one message each; move those
-- that were handed out too often.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, incarnation for a new dead letter queue, '1' for a claim each: their ids then are as the one given, save for the last
--       four digits; ttl (s), grace (s), then of each claim: its id, limit
-- Returns of each claim {whether to call again, now, incarnation, whether bodies may be kept apart, messages...}; the messages name
-- their claim only where each has its own, and the bodies that are kept apart are read after this.  Or, of a claim of messages that differ
-- in rank and body alone, {2, now, incarnation, whether bodies may be kept apart, ttl (s), age (s), ranks with commas between, bodies...}:
-- each value of an answer costs Redis and its reader.
local is_late = known[1] and settle(known[2])
local answers = {}
for i = 7, #ARGV, 2 do
  answers[#answers + 1] = {is_late and 1 or 0, now, known[1] or '', known[7] and 1 or 0}
end
if is_late or not known[1] then
  return answers
end
local most = known[5] and tonumber(known[4])
local buried, holds, states, expiries = {}, {}, {}, {}

-- The claim that messages are given to: its number, id and answer, the ranks of what it has, how many it may have.
local at, claim, out, ranks, room, plain = 0, nil, nil, nil, 0, nil
local number, held_number = 0, 0 -- of its messages, and of those of all
local has = {} -- the ranks of each

local function next_claim()
  at = at + 1
  claim, room, out, ranks = ARGV[4 + 2 * at], tonumber(ARGV[5 + 2 * at]), answers[at], {}
  has[at], number = ranks, 0
  plain = cmsgpack.pack(claim, lapses, 0, 0, 0)
end

-- The claim of the message that is the n-th taken, where each has its own.
local function claim_of(id, nth)
  return id:sub(1, -5) .. string.format('%04x', nth)
end

local function bury(rank, entry, expires, ttl, count)
  local target = key_of(known[5])
  local there = call('HMGET', target, 'inc', 'rank', 'bytes')
  if not there[1] then
    there[2] = create(target, KEYS[2], ARGV[2], '{}')
  end
  if not there[3] and call('EXISTS', target .. ':a') == 0 then
    there[3] = call('HEXISTS', base, 'bytes') == 1
  end
  local id = entry[6] or string.format('%014x', tonumber(rank)) .. known[1]
  entry = whole(entry)
  if known[6] then
    ttl = tonumber(known[6])
    expires = now + ttl * 1000
  end
  local place = text(next_rank(there[2]))
  call('XADD', target .. ':m', place, ttl .. ' ' .. client_of(entry), entry[2], 'a', text(created_at(rank, entry)),
    'i', id, 'e', text(expires), 'n', count, 'o', name_of(base),
    'r', 'claims')
  call('ZADD', target .. ':a', expires, place)
  call('ZADD', target .. ':b', place, place)
  remember(target, id, place)
  call('HSET', target, 'rank', place, 'moved', 1, 'dead_letters', 1)
  if there[3] then
    call('HINCRBY', target, 'bytes', #entry[2])
  end
  buried[#buried + 1] = rank
end

next_claim()
-- Of a message that is moved without having been claimed, which is what at most 0 claims, or fewer, mean, it has to be known exactly.
local taken, again, moved = each_deliverable(known[3] or '0', known[2], limit, most and most <= 0 and math.huge or lapses,
  function(rank, entry, packed, expires, ttl, count)
    if most and count >= most then
      bury(rank, entry, expires, ttl, count)
      return false
    end
    if number == room then
      next_claim()
    end
    local own_expiry, own_ttl = 0, 0
    if packed then
      own_expiry, own_ttl = select(3, cmsgpack.unpack(packed))
    end
    if expires < lapses then
      ttl = ttl_s + grace_s
      own_expiry, own_ttl = lapses + grace_s * 1000, ttl
      expiries[#expiries + 1], expiries[#expiries + 2] = text(own_expiry), rank
    end
    if most then count = count + 1 end
    number = number + 1
    local own_claim = each and claim_of(claim, number)
    emit(out, rank, entry, ttl, own_claim, count)
    ranks[number] = rank
    local n = held_number
    holds[n + 1], holds[n + 2] = lapses_text, rank
    states[n + 1] = rank
    states[n + 2] = own_expiry == 0 and count == 0 and not own_claim and plain
      or cmsgpack.pack(own_claim or claim, lapses, own_expiry, own_ttl, count)
    held_number = n + 2
    return true
  end)
if moved ~= (known[3] or '0') then
  call('HSET', base, 'head', moved)
end
if #buried > 0 then
  remove(buried, known[2])
  ring(key_of(known[5]))
end
if taken > 0 then
  each_slice(holds, function(...) call('ZADD', held, ...) end)
  each_slice(states, function(...) call('HSET', state, ...) end)
  each_slice(expiries, function(...) call('ZADD', alive, ...) end)
  local known_claims, counts = {}, {}
  local function know(id, its_ranks)
    known_claims[#known_claims + 1], known_claims[#known_claims + 2] = id, cmsgpack.pack(now, lapses, ttl_s, its_ranks)
    if #its_ranks > 1 then
      counts[#counts + 1], counts[#counts + 2] = id, #its_ranks
    end
  end
  for i, its_ranks in ipairs(has) do
    local id = ARGV[4 + 2 * i]
    if each then
      for nth, rank in ipairs(its_ranks) do
        know(claim_of(id, nth), {rank})
      end
    elseif #its_ranks > 0 then
      know(id, its_ranks)
    end
  end
  each_slice(known_claims, function(...) call('HSET', claims, ...) end)
  each_slice(counts, function(...) call('HSET', left, ...) end)
end
if again then
  for _, answer in ipairs(answers) do
    if #answer == 4 then answer[1] = 1 end
  end
end
return answers
