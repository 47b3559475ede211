-- dead_letters.lua: dead letters, and their way into a queue.

-- The dead letters that may be sent back: those of the ranks that nobody has claimed, as {rank, entry, ttl (s)}.
local function sendable(ranks, limit)
  local found = {}
  local states = states_of(ranks)
  for i, rank in ipairs(ranks) do
    local entry = #found < limit and fetch(rank)
    if entry then
      local expires, ttl, _, claim = judge(rank, entry, states[i])
      if expires > now and not claim then
        found[#found + 1] = {rank = rank, entry = whole(entry), ttl = ttl}
      end
    end
  end
  return found
end

-- The ranks of dead letters, oldest first: of those whose ids stand from one argument on, as meant_by() takes them, or else of up
-- to SLICE after a rank.
local function ranks_of(first, incarnation, after)
  if not ARGV[first] then
    return call('ZRANGE', dead, '(' .. after, '+inf', 'BYSCORE', 'LIMIT', 0, SLICE)
  end
  local found, seen = {}, {}
  for _, rank in ipairs(meant_by(first, #ARGV, incarnation, true)) do
    if not seen[rank] and call('ZSCORE', dead, rank) then
      found[#found + 1], seen[rank] = rank, true
    end
  end
  table.sort(found, function(a, b) return tonumber(a) < tonumber(b) end)
  return found
end

-- The queue that a dead letter goes to: the one that is asked for, or the one that it was in.
local function target_of(letter, to)
  return to ~= '' and to or key_of(letter.entry[12])
end

-- What is known of a queue that messages are about to be moved to.  `most` are the most messages and bytes that it may have.
local function open_target(key, most)
  local known = call('HMGET', key, 'inc', 'rank', 'bytes')
  local target = {key = key, exists = known[1], rank = known[2], most = most}
  if most.messages > 0 then
    target.messages = call('ZCOUNT', key .. ':a', '(' .. now, '+inf')
  end
  target.bytes = tonumber(known[3]) or most.bytes > 0 and call('EXISTS', key .. ':a') == 0 and 0 or nil
  return target
end

-- Counts a message in; what there would be too much of then, as in post.lua: 2 messages, 3 bytes.
local function exceeds(target, body)
  if target.messages then
    target.messages = target.messages + 1
    if target.messages > target.most.messages then return 2 end
  end
  if target.bytes then
    target.bytes = target.bytes + #body
    if target.most.bytes > 0 and target.bytes > target.most.bytes then return 3 end
  end
end

-- Appends a message as one that was never claimed there; it is deliverable after `delay` ms.
local function arrive(target, id, client, body, ttl, created, delay)
  local key, due = target.key, now + delay
  local rank = text(next_rank(target.rank))
  call('XADD', key .. (delay > 0 and ':l' or ':m'), rank, ttl .. ' ' .. client, body, 'a', created, 'i', id,
    'e', text(due + ttl * 1000), 'n', 0)
  call('ZADD', key .. ':a', due + ttl * 1000, rank)
  if delay > 0 then
    call('ZADD', key .. ':d', due, rank)
    target.has_later = true
  end
  remember(key, id, rank)
  target.rank = rank
end

-- After the last one has arrived.
local function arrived(target)
  call('HSET', target.key, 'rank', target.rank, 'moved', 1)
  if target.has_later then
    call('HSET', target.key, 'later', 1)
  end
  if target.bytes then
    call('HSET', target.key, 'bytes', text(target.bytes))
  end
  ring(target.key)
end
