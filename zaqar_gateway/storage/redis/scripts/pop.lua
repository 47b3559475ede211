-- pop.lua: remove and return the oldest deliverable messages.
-- KEYS: queue
-- ARGV: now, limit
-- Returns {whether to call again, now, incarnation, messages...}.
local known = call('HMGET', base, 'inc', 'later', 'head')
if not known[1] then
  return {0, now, ''}
end
if settle(known[2]) then
  return {1, now, known[1]}
end
local out, ranks = {0, now, known[1]}, {}
local _, again = each_deliverable(known[3] or '0', known[2], tonumber(ARGV[2]), function(rank, entry, _, _, ttl, count)
  emit(out, rank, entry, ttl, nil, count)
  ranks[#ranks + 1] = rank
  return true
end)
remove(ranks, known[2])
if again and #ranks == 0 then
  out[1] = 1
end
return out
