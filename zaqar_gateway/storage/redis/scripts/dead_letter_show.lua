-- dead_letter_show.lua: the first of the dead letters that would be sent back, as far as they go to one queue.
-- KEYS: queue
-- ARGV: now, queue that they would go to ('': where each came from), that one queue, after which rank, limit, ids as in
--       dead_letter_send.lua
-- Returns {incarnation, after which rank to go on where none was found, or '', of each: rank, id, body, client, ttl (s),
-- created (ms)}.
local incarnation = call('HGET', base, 'inc')
if not incarnation then
  return {'', ''}
end
local ranks = ranks_of(6, incarnation, ARGV[4])
local out = {incarnation, not ARGV[6] and ranks[SLICE] or ''}
for _, letter in ipairs(sendable(ranks, tonumber(ARGV[5]))) do
  local entry = letter.entry
  if target_of(letter, ARGV[2]) ~= ARGV[3] then
    break
  end
  for _, value in ipairs({letter.rank, entry[6], entry[2], client_of(entry), letter.ttl, entry[4]}) do
    out[#out + 1] = value
  end
end
return out
