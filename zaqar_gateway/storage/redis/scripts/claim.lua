-- claim.lua: give the oldest deliverable messages to one claim, or to one each; move those that were handed out too often.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, claim, ttl (s), grace (s), limit, incarnation for a new dead letter queue, '1' for a claim each: their ids then
--       are as the one given, save for the last four digits
-- Returns {whether to call again, now, incarnation, messages...}; the messages name their claim only where each has its own.
local known = call('HMGET', base, 'inc', 'later', 'head', 'claims', 'dead', 'dead_ttl')
if not known[1] then
  return {0, now, ''}
end
if settle(known[2]) then
  return {1, now, known[1]}
end
local claim, ttl_s, grace_s, each = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[7] == '1'
local lapses = now + ttl_s * 1000
local most = known[5] and tonumber(known[4])
local out, ranks, buried = {0, now, known[1]}, {}, {}
local holds, states, expiries = {}, {}, {}
-- What is the same for nearly all messages of a claim is made once; a number is an argument that is dear to hand over.
local lapses_text, plain = text(lapses), cmsgpack.pack(claim, lapses, 0, 0, 0)

-- The claim of the message that is the taken at this number.
local function claim_of(number)
  return each and claim:sub(1, -5) .. string.format('%04x', number) or claim
end

local function bury(rank, entry, expires, ttl, count)
  local target = base:match('^(.*/)') .. known[5] .. '}'
  local there = call('HMGET', target, 'inc', 'rank', 'bytes')
  if not there[1] then
    there[2] = create(target, KEYS[2], ARGV[6], '{}')
    there[3] = call('HEXISTS', base, 'bytes') == 1
  end
  local id = entry[10] or string.format('%014x', tonumber(rank)) .. known[1]
  if known[6] then
    ttl = tonumber(known[6])
    expires = now + ttl * 1000
  end
  local place = text(next_rank(there[2]))
  call('XADD', target .. ':m', place, 't', ttl, 'c', entry[4], 'b', entry[6], 'a', text(created_at(rank, entry)),
    'i', id, 'e', text(expires), 'n', count, 'o', base:match('([^/]*)}$'),
    'r', 'claims')
  call('ZADD', target .. ':a', expires, place)
  call('ZADD', target .. ':b', place, place)
  remember(target, id, place)
  call('HSET', target, 'rank', place, 'moved', 1, 'dead_letters', 1)
  if there[3] then
    call('HINCRBY', target, 'bytes', #entry[6])
  end
  buried[#buried + 1] = rank
end

-- Of a message that is moved without having been claimed, which is what at most 0 claims means, it has to be known exactly.
local taken, again, moved = each_deliverable(known[3] or '0', known[2], tonumber(ARGV[5]), most == 0 and math.huge or lapses,
  function(rank, entry, packed, expires, ttl, count)
    if most and count >= most then
      bury(rank, entry, expires, ttl, count)
      return false
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
    local number = #ranks + 1
    local its = claim_of(number)
    emit(out, rank, entry, ttl, each and its, count)
    ranks[number] = rank
    local n = 2 * number
    holds[n - 1], holds[n] = lapses_text, rank
    states[n - 1] = rank
    states[n] = own_expiry == 0 and count == 0 and not each and plain
      or cmsgpack.pack(its, lapses, own_expiry, own_ttl, count)
    return true
  end)
if moved ~= (known[3] or '0') then
  call('HSET', base, 'head', moved)
end
if #buried > 0 then
  remove(buried, known[2])
  ring(base:match('^(.*/)') .. known[5] .. '}')
end
if taken > 0 then
  each_slice(holds, function(...) call('ZADD', held, ...) end)
  each_slice(states, function(...) call('HSET', state, ...) end)
  each_slice(expiries, function(...) call('ZADD', alive, ...) end)
  if each then
    local known_claims, counts = {}, {}
    for i, rank in ipairs(ranks) do
      local its = claim_of(i)
      known_claims[#known_claims + 1], known_claims[#known_claims + 2] = its, cmsgpack.pack(now, lapses, ttl_s, {rank})
      counts[#counts + 1], counts[#counts + 2] = its, 1
    end
    each_slice(known_claims, function(...) call('HSET', claims, ...) end)
    each_slice(counts, function(...) call('HSET', left, ...) end)
  else
    call('HSET', claims, claim, cmsgpack.pack(now, lapses, ttl_s, ranks))
    call('HSET', left, claim, taken)
  end
elseif again then
  out[1] = 1
end
return out
