-- once.lua: post.lua without what came under the same key before.
-- KEYS: as in post.lua
-- ARGV: as in post.lua for one post, then the key of the post or that of each message ('': it has none), for how long they count (ms),
--       the most that are kept, and which it is: 'post' or 'each'
-- Returns {6, incarnation, whether something came to be owed, how many messages were stored now, the rank of each}, or
-- {7, number, 0}: the key came with so many messages before, or {8, seconds, 0}: as many keys are kept as may be, for so long;
-- or what post.lua refuses with.
--
--   keys   zset  digest of a key: rank of the message that it came with first, or of the first of several
--   sizes  hash  digest: how many messages came with it, where these were several
--
-- A rank tells when a message was posted, and so until when a key counts.
local keys, sizes = base .. ':k', base .. ':kn'
local MESSAGES = POSTS + 3
local window, most, is_whole = tonumber(ARGV[#ARGV - 2]), tonumber(ARGV[#ARGV - 1]), ARGV[#ARGV] == 'post'
local number = is_whole and (#ARGV - MESSAGES - 3) / 3 or (#ARGV - MESSAGES - 2) / 4 -- of messages
local last = MESSAGES + 3 * number - 1
local given, scores = {}, {}
for i = last + 1, #ARGV - 3 do
  given[#given + 1] = ARGV[i]
end
each_slice(given, function(...)
  for _, rank in ipairs(call('ZMSCORE', keys, ...)) do
    scores[#scores + 1] = rank
  end
end)
local function counts(rank)
  return rank and math.floor(tonumber(rank) / 1000) > now - window
end

-- The rank of each message that is known, and those that are new; the first of them under each new key, and how many there are.
local ranks, fresh, firsts, added = {}, {}, {}, 0
if not is_whole then
  for i, key in ipairs(given) do
    if counts(scores[i]) then
      ranks[i] = scores[i]
    elseif key == '' then
      fresh[#fresh + 1] = i
    elseif not firsts[key] then
      fresh[#fresh + 1], firsts[key], added = i, i, added + 1
    end
  end
elseif counts(scores[1]) then
  local size = tonumber(call('HGET', sizes, given[1])) or 1
  if size ~= number then
    return {7, size, 0}
  end
  for i = 1, number do
    ranks[i] = text(tonumber(scores[1]) + i - 1)
  end
else
  added = 1
  for i = 1, number do
    fresh[i] = i
  end
end

local function answer(incarnation, owed)
  local out = {6, incarnation, owed or 0, #fresh}
  for i = 1, number do
    out[4 + i] = ranks[i] or ranks[firsts[given[i]]]
  end
  return out
end

if #fresh == 0 then
  return answer(call('HGET', base, 'inc'))
end
if added > 0 then
  local gone = call('ZRANGE', keys, '-inf', (now - window + 1) * 1000 - 1, 'BYSCORE', 'LIMIT', 0, SLICE)
  if #gone > 0 then
    call('ZREM', keys, unpack(gone))
    call('HDEL', sizes, unpack(gone))
  end
  if call('ZCARD', keys) + added > most then
    local first = call('ZRANGE', keys, 0, 0, 'WITHSCORES')[2]
    local ends = first and math.floor(first / 1000) + window or now + window
    return {8, math.ceil((ends - now) / 1000), 0}
  end
end

for at, i in ipairs(fresh) do -- what is new, and nothing else, is what post.lua finds
  for offset = 0, 2 do
    ARGV[MESSAGES + 3 * (at - 1) + offset] = ARGV[MESSAGES + 3 * (i - 1) + offset]
  end
end
for i = #ARGV, MESSAGES + 3 * #fresh, -1 do
  ARGV[i] = nil
end
ARGV[POSTS + 2] = #fresh
local posted = post()[1]
if posted[1] ~= 0 then
  return posted
end
for at, i in ipairs(fresh) do
  ranks[i] = text(posted[3] + at - 1)
end
if is_whole then
  call('ZADD', keys, ranks[1], given[1])
  if number > 1 then
    call('HSET', sizes, given[1], number)
    call('PEXPIRE', sizes, window)
  else
    call('HDEL', sizes, given[1]) -- from an earlier post that does not count any more
  end
else
  local marks = {}
  for key, i in pairs(firsts) do
    marks[#marks + 1], marks[#marks + 2] = ranks[i], key
  end
  each_slice(marks, function(...) call('ZADD', keys, ...) end)
end
call('PEXPIRE', keys, window)
return answer(posted[2], posted[4])
