-- get.lua: messages by id.
-- KEYS: queue
-- ARGV: now, then of each id: rank, incarnation
-- Returns {now, incarnation, messages...}.
local known = call('HMGET', base, 'inc', 'later', 'moved')
local out = {now, known[1] or ''}
if not known[1] then
  return out
end
for i = 2, #ARGV, 2 do
  local rank = resolve(ARGV[i], ARGV[i + 1], known[1], known[3])
  local entry = rank and fetch(rank, known[2])
  if entry then
    local expires, ttl, count, claim = judge(rank, entry, call('HGET', state, rank))
    if expires > now then
      emit(out, rank, entry, ttl, claim, count)
    end
  end
end
return out
