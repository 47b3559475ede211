-- post.lua: append messages to a queue, which is created where it is missing: those of several posts, one after the other.
-- KEYS: queue, catalog (zset: names of the project's queues; left out where it lives in another slot)
-- ARGV: now, incarnation for a new queue ('': none is created), largest size, default ttl, whether bodies are encrypted
--       ('1' or ''), what quotas.lua asks for where there are quotas, then of each post (with quotas there is one): client,
--       size, number of messages, then of each of these: ttl, delay ('' where it has none), body; of one that was put into `bodies`
--       just now, which is taken out again where the post is refused, what stands for it there
-- Returns of each post {0, incarnation, rank of the first} and, once, 1 where something came to be owed to a subscriber who
-- waits for it; {1, limit, whether it is the queue's own}, or {2, 0, 0} where bodies are not encrypted as the queue asks, or
-- {3, 0, 0} where there is no queue, or {4, which, 0}: there would be more than the most (1 queues, 2 messages, 3 bytes), or
-- {5, 0, 0}: call again.
local limit, own = tonumber(ARGV[3]), known[4] and tonumber(known[4])
if own and own < limit then limit = own else own = nil end
local incarnation, bytes, rank = known[1], known[8], nil
local ttl_default, delay_default = known[3] or ARGV[4], tonumber(known[5])
local expiries, is_later, has_apart, log, told = {}, false, false, nil, nil
-- Most messages have the ttl and the client of the one before.
local ttl_before, client_before, begins, expiry = nil, nil, nil, nil
local this_ms, next_ms = now * 1000, now * 1000 + 1000 -- the ranks that tell when a message was posted

local function store(client, size, from, last)
  if size > limit then
    return {1, limit, own and 1 or 0}
  end
  if (known[6] or '') ~= ARGV[5] then
    return {2, 0, 0}
  end
  local counted, refused = admit(incarnation, bytes, from, last)
  if refused then
    return {refused, counted, 0}
  end
  bytes = counted
  if not incarnation then
    if ARGV[2] == '' then
      return {3, 0, 0}
    end
    incarnation = ARGV[2]
    known[2], known[7] = create(base, KEYS[2], incarnation, '{}')
  end
  if not rank then
    rank, log = next_rank(known[2]) - 1, known[7] and open_log()
    told = log and log.begun()
  end
  local first = rank + 1
  for i = from, last, 3 do
    rank = rank + 1
    local id, ttl, delay, body, stream = INTEGER:format(rank), ARGV[i], nil, ARGV[i + 2], main
    if ttl == '' then ttl = ttl_default end
    if ttl ~= ttl_before or client ~= client_before then
      ttl_before, client_before, begins, expiry = ttl, client, ttl .. ' ' .. client, INTEGER:format(now + ttl * 1000)
    end
    local begin = begins
    if is_apart(body) then
      if told then -- the log outlives the message
        local token = body:sub(2)
        body = call('HGET', bodies, token)
        call('HDEL', bodies, token)
      else
        has_apart, begin = true, ttl .. '+ ' .. client
      end
    end
    if delay_default then
      delay = ARGV[i + 1] == '' and delay_default or tonumber(ARGV[i + 1])
      if delay > 0 then
        stream, is_later = base .. ':l', true
        call('ZADD', base .. ':d', INTEGER:format(now + delay * 1000), id)
      end
    end
    if rank >= this_ms and rank < next_ms then
      call('XADD', stream, id, begin, body)
    else -- the rank ran ahead of the clock: more messages than microseconds, or a clock that was set back
      call('XADD', stream, id, begin, body, 'a', now)
    end
    local n = #expiries
    if n == SLICE then
      call('ZADD', alive, unpack(expiries))
      expiries, n = {}, 0
    end
    expiries[n + 1], expiries[n + 2] = expiry, id
    if told then
      log.post(told, id, ttl, body, delay)
    end
    if bytes then bytes = bytes + size_of(body) end
  end
  return {0, incarnation, first}
end

local answers, at = {}, POSTS
while ARGV[at] do
  local last = at + 2 + 3 * ARGV[at + 2]
  local answer = store(ARGV[at], tonumber(ARGV[at + 1]), at + 3, last)
  for i = at + 5, answer[1] ~= 0 and last or 0, 3 do
    if is_apart(ARGV[i]) then call('HDEL', bodies, ARGV[i]:sub(2)) end
  end
  answers[#answers + 1] = answer
  at = last + 1
end
if not rank then
  return answers
end
call('ZADD', alive, unpack(expiries))
if bytes then
  call('HSET', base, 'bytes', INTEGER:format(bytes))
end
if has_apart then
  call('HSET', base, 'apart', 1)
end
if is_later then
  call('HSET', base, 'rank', INTEGER:format(rank), 'later', 1)
else
  call('HSET', base, 'rank', INTEGER:format(rank))
end
if not told then
  ring(base)
elseif log.ended(told, INTEGER:format(rank)) then
  for _, answer in ipairs(answers) do
    if answer[1] == 0 then
      answer[4] = 1
      break
    end
  end
end
return answers
