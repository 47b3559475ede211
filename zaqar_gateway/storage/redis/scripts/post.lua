-- post.lua: append messages to a queue, which is created where it is missing.
-- KEYS: queue, catalog (zset: names of the project's queues; left out where it lives in another slot)
-- ARGV: now, incarnation for a new queue ('': none is created), client, size, largest size, default ttl, whether bodies
--       are encrypted ('1' or ''), most queues of the project, most messages, most bytes of bodies (0: any number), then
--       of each message: ttl, delay ('' where it has none), body
-- Returns {0, incarnation, rank of the first} and 1 where something came to be owed to a subscriber who waits for it, {1, limit, whether it is the queue's own}, or {2, 0, 0} where bodies are
-- not encrypted as the queue asks, or {3, 0, 0} where there is no queue, or {4, which, 0}: there would be more than the most
-- (1 queues, 2 messages, 3 bytes), or {5, 0, 0}: call again.
local known = call('HMGET', base, 'inc', 'rank', 'ttl', 'size', 'delay', 'enc', 'subs', 'bytes', 'later')
local size, limit = tonumber(ARGV[4]), tonumber(ARGV[5])
local own = known[4] and tonumber(known[4]) < limit
if own then limit = tonumber(known[4]) end
if size > limit then
  return {1, limit, own and 1 or 0}
end
if (known[6] or '') ~= ARGV[7] then
  return {2, 0, 0}
end
local incarnation, most_messages, most_bytes = known[1], tonumber(ARGV[9]), tonumber(ARGV[10])
if not incarnation and ARGV[2] ~= '' and is_full(KEYS[2], tonumber(ARGV[8])) then
  return {4, 1, 0}
end
if most_messages > 0 and call('ZCOUNT', alive, '(' .. now, '+inf') + (#ARGV - 10) / 3 > most_messages then
  return {4, 2, 0}
end
local bytes = known[8] or most_bytes > 0 and call('EXISTS', alive) == 0 and 0
if bytes then
  local added = 0
  for i = 13, #ARGV, 3 do
    added = added + #ARGV[i]
  end
  if most_bytes > 0 and bytes + added > most_bytes then
    -- What has expired does not count, and may not have been cleared away yet.
    local _, unswept = settle(known[9])
    bytes = call('HGET', base, 'bytes') or 0
    if bytes + added > most_bytes then
      return {unswept and 5 or 4, 3, 0}
    end
  end
  bytes = bytes + added
end
if not incarnation then
  if ARGV[2] == '' then
    return {3, 0, 0}
  end
  incarnation = ARGV[2]
  known[2] = create(base, KEYS[2], incarnation, '{}')
  known[7] = known[2]
end
local first = next_rank(known[2])
local rank, ttl_default, delay_default = first - 1, known[3] or ARGV[6], tonumber(known[5]) or 0
local client, expiries, dues = ARGV[3], {}, {}
local log = known[7] and open_log()
local told = log and log.begun()
for i = 11, #ARGV, 3 do
  rank = rank + 1
  local id, ttl, delay = text(rank), ARGV[i], 0
  if ttl == '' then ttl = ttl_default end
  if delay_default > 0 then
    delay = ARGV[i + 1] == '' and delay_default or tonumber(ARGV[i + 1])
  end
  local stream = delay > 0 and later or main
  if math.floor(rank / 1000) == now then
    call('XADD', stream, id, 't', ttl, 'c', client, 'b', ARGV[i + 2])
  else -- the rank ran ahead of the clock: more messages than microseconds, or a clock that was set back
    call('XADD', stream, id, 't', ttl, 'c', client, 'b', ARGV[i + 2], 'a', now)
  end
  expiries[#expiries + 1], expiries[#expiries + 2] = now + ttl * 1000, id
  if told then
    log.post(told, id, ttl, ARGV[i + 2], delay_default > 0 and delay)
  end
  if delay > 0 then
    dues[#dues + 1], dues[#dues + 2] = now + delay * 1000, id
  end
end
each_slice(expiries, function(...) call('ZADD', alive, ...) end)
if bytes then
  call('HSET', base, 'bytes', text(bytes))
end
if #dues > 0 then
  each_slice(dues, function(...) call('ZADD', delayed, ...) end)
  call('HSET', base, 'rank', text(rank), 'later', 1)
else
  call('HSET', base, 'rank', text(rank))
end
if not told then
  ring(base)
elseif log.ended(told, text(rank)) then
  return {0, incarnation, first, 1}
end
return {0, incarnation, first}
