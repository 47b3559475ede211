-- dead_letter_list.lua: a page of dead letters.
-- KEYS: queue
-- ARGV: now, marker (rank, or '' for the beginning), incarnation of the marker, limit
-- Returns {whether to call again, now, incarnation, messages...}.
local known = call('HMGET', base, 'inc', 'later', 'moved')
if not known[1] then
  return {0, now, ''}
end
local more, unswept = settle(known[2])
if more or unswept then
  return {1, now, known[1]}
end
local marker, out = '0', {0, now, known[1]}
if ARGV[2] ~= '' then
  marker = resolve(ARGV[2], ARGV[3], known[1], known[3]) or ARGV[2]
end
local ranks = call('ZRANGE', dead, '(' .. marker, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[4])
local states = states_of(ranks)
for i, rank in ipairs(ranks) do
  local entry = fetch(rank)
  local _, ttl, count, claim = judge(rank, entry, states[i])
  emit(out, rank, whole(entry), ttl, claim, count)
end
return out
