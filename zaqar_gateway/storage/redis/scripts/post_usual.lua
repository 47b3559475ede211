-- post_usual.lua: begins post.lua with what posts nearly always are: to a queue that is there, has no rules of its own and no subscriptions,
-- of messages without a delay whose ranks tell when they were posted.  Where there is more to it nothing has been written, and post.lua
-- goes on.

-- Whether each post is of the usual size, with its bodies in it, and how many messages there are.
local function are_usual()
  local size_max, total, at = tonumber(ARGV[3]), 0, POSTS
  while ARGV[at] do
    local last = at + 2 + 3 * ARGV[at + 2]
    if tonumber(ARGV[at + 1]) > size_max then return end
    for i = at + 5, last, 3 do
      if is_apart(ARGV[i]) then return end
      total = total + 1
    end
    at = last + 1
  end
  return micros > tonumber(known[2] or 0) and micros % 1000 + total <= 1000
end

local function append()
  local ttl_default, answers, expiries, rank, n = known[3] or ARGV[4], {}, {}, micros, 0
  -- Most messages have the ttl and the client of the one before.
  local ttl_before, client_before, begins, expiry = nil, nil, nil, nil
  local at = POSTS
  while ARGV[at] do
    local client, last = ARGV[at], at + 2 + 3 * ARGV[at + 2]
    answers[#answers + 1] = {0, known[1], rank}
    for i = at + 3, last, 3 do
      local id, ttl = INTEGER:format(rank), ARGV[i]
      if ttl == '' then ttl = ttl_default end
      if ttl ~= ttl_before or client ~= client_before then
        ttl_before, client_before, begins, expiry = ttl, client, ttl .. ' ' .. client, INTEGER:format(now + ttl * 1000)
      end
      call('XADD', main, id, begins, ARGV[i + 2])
      expiries[n + 1], expiries[n + 2] = expiry, id
      rank, n = rank + 1, n + 2
    end
    at = last + 1
  end
  call('ZADD', alive, unpack(expiries))
  call('HSET', base, 'rank', expiries[n])
  ring(base)
  return answers
end

if known[1] and not known[4] and not known[5] and not known[7] and not known[8] and (known[6] or '') == ARGV[5] and are_usual() then
  return append()
end
