-- dead_letter_send.lua: send dead letters back, each to where it came from or all to one queue.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, queue that they go to ('': where each came from), incarnation for a queue that is missing ('': none is
--       created), after which rank, limit, sent before, ms between two, most queues of the project, most messages, most bytes,
--       ids as meant_by() takes them; without ids: the oldest
-- Returns {0, how many, remaining, after which rank to go on or '' at the end, queue that is missing or ''}, or {1}: call
-- again, or {4, which}: there would be more than the most (as in post.lua), and nothing was sent.
local known = call('HMGET', base, 'inc', 'later')
if not known[1] then
  return {0, 0, 0, '', ''}
end
local more, unswept = settle(known[2])
if more or unswept then
  return {1}
end
local ranks = ranks_of(11, known[1], ARGV[4])
local sent, gap = tonumber(ARGV[6]), tonumber(ARGV[7])
local most = {messages = tonumber(ARGV[9]), bytes = tonumber(ARGV[10])}
local targets, going, missing, fresh, stopped = {}, {}, '', nil, false
for _, letter in ipairs(sendable(ranks, tonumber(ARGV[5]))) do
  local key = target_of(letter, ARGV[2])
  local target = targets[key] or open_target(key, most)
  if not target.exists and not targets[key] then
    if ARGV[3] == '' then
      missing = key
      break
    elseif fresh then -- one in a call, for there is one incarnation
      stopped = true
      break
    elseif is_full(KEYS[2], tonumber(ARGV[8])) then
      return {4, 1}
    end
    fresh = target
  end
  targets[key] = target
  local too_much = exceeds(target, letter.entry[2])
  if too_much then
    return {4, too_much}
  end
  letter.target = target
  going[#going + 1] = letter
end
if fresh then
  fresh.rank = create(fresh.key, KEYS[2], ARGV[3], '{}')
end
local gone = {}
for i, letter in ipairs(going) do
  local rank, entry = letter.rank, letter.entry
  arrive(letter.target, entry[6], client_of(entry), entry[2], letter.ttl, entry[4], math.floor((sent + i - 1) * gap))
  gone[i] = rank
end
if #gone > 0 then
  remove(gone, known[2])
end
for _, target in pairs(targets) do
  arrived(target)
end
local after = stopped and ARGV[4] or not ARGV[11] and missing == '' and ranks[SLICE] or ''
return {0, #gone, call('ZCARD', dead), after, missing}
