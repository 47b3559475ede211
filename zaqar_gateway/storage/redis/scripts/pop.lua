-- pop.lua: remove and return the oldest deliverable messages.
-- KEYS: queue
-- ARGV: now, limit, whether bodies may be encrypted only with keys of these ids ('1' or '0'), ids
-- Returns {whether to call again, now, incarnation, messages...}, or {2, now, id of another key}: nothing was removed.
local known = call('HMGET', base, 'inc', 'later', 'head', 'cut', 'bytes', 'dead_letters', 'apart')
if not known[1] then
  return {0, now, ''}
end
local kept = {known[4], known[5], known[6], known[7]}
if settle(known[2], kept) then
  return {1, now, known[1]}
end
local out, ranks, readable, unknown = {0, now, known[1]}, {}, {}, nil
for i = 4, #ARGV do
  readable[ARGV[i]] = true
end
local head = known[3] or '0'
local _, again, moved = each_deliverable(head, known[2], tonumber(ARGV[2]), now + 1, function(rank, entry, _, _, ttl, count)
  emit(out, rank, whole(entry), ttl, nil, count)
  ranks[#ranks + 1] = rank
  if entry[2]:byte(1) == 1 and ARGV[3] == '1' then -- model.py says how an encrypted body begins
    local id = entry[2]:sub(2, 5)
    unknown = unknown or not readable[id] and id
  end
  return true
end)
if unknown then
  local scores = {}
  for _, rank in ipairs(ranks) do
    scores[#scores + 1], scores[#scores + 2] = rank, rank
  end
  call('HSET', base, 'head', moved)
  each_slice(scores, function(...) call('ZADD', free, ...) end)
  return {2, now, unknown}
end
remove(ranks, known[2], kept)
if again and #ranks == 0 then
  out[1] = 1
end
return out
