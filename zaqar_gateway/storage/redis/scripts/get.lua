-- get.lua: messages by id.
-- KEYS: queue
-- ARGV: now, ids as meant_by() takes them
-- Returns {now, incarnation, messages...}.
local known = call('HMGET', base, 'inc', 'later', 'moved')
local out = {now, known[1] or ''}
if not known[1] then
  return out
end
local ranks = meant_by(2, #ARGV, known[1], known[3])
local states = states_of(ranks)
for i, rank in ipairs(ranks) do
  local entry = fetch(rank, known[2])
  if entry then
    local expires, ttl, count, claim = judge(rank, entry, states[i])
    if expires > now then
      emit(out, rank, whole(entry), ttl, claim, count)
    end
  end
end
return out
