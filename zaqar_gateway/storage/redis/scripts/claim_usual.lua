-- claim_usual.lua: begins claim.lua with what claims nearly always are: of messages right behind `head`, which nobody has claimed before
-- and which outlive the claim.  Where there is more to it nothing has been written, and claim.lua goes on with what is known here.
local known = call('HMGET', base, 'inc', 'later', 'head', 'claims', 'dead', 'dead_ttl', 'apart')
local each, ttl_s, grace_s = ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local lapses = now + ttl_s * 1000
-- What is the same for nearly all messages of a claim is made once; a number is an argument that is dear to hand over.
local lapses_text = text(lapses)
local limit = 0
for i = 7, #ARGV, 2 do
  limit = limit + ARGV[i]
end

local function claim_behind_head()
  local found = call('XRANGE', main, '(' .. (known[3] or '0'), '+', 'COUNT', limit)
  local number, begins, ttl = 0, nil, nil -- of those that are claimed; what the entry of the last one begins with
  local holds, states, claimed, counts, answers = {}, {}, {}, {}, {}
  for i = 6, #ARGV, 2 do
    local claim, room = ARGV[i], tonumber(ARGV[i + 1])
    local out, ranks, first = {0, now, known[1], known[7] and 1 or 0}, {}, number
    local size = math.min(room, #found - first)
    local packed = cmsgpack.pack(claim, lapses, 0, 0, 0, size)
    for nth = 1, size do
      local one = found[first + nth]
      local rank, entry = one[1]:sub(1, -3), one[2]
      if entry[5] then return end -- it was moved here
      if entry[3] or entry[1] ~= begins then -- of two that begin alike and whose ranks tell when they were posted the later one expires later
        begins, ttl = not entry[3] and entry[1], entry[1]:match('^%d+')
        if (tonumber(entry[4]) or math.floor(rank / 1000)) + ttl * 1000 < lapses then return end
      end
      local n, m = 4 * nth, 2 * (first + nth)
      out[n + 1], out[n + 2], out[n + 3], out[n + 4] = rank, ttl, entry[2], entry[3] and {'', 0, '', entry[4]} or ''
      ranks[nth] = rank
      holds[m - 1], holds[m] = lapses_text, rank
      states[m - 1], states[m] = rank, packed
    end
    answers[#answers + 1] = out
    number = first + size
    if size > 0 then
      claimed[#claimed + 1], claimed[#claimed + 2] = claim, cmsgpack.pack(now, lapses, ttl_s, ranks)
    end
    if size > 1 then
      counts[#counts + 1], counts[#counts + 2] = claim, size
    end
  end
  if number > 0 then
    call('HSET', base, 'head', holds[2 * number])
    call('ZADD', held, unpack(holds))
    call('HSET', state, unpack(states))
    call('HSET', claims, unpack(claimed))
    if #counts > 0 then
      call('HSET', left, unpack(counts))
    end
  end
  return answers
end

if known[1] and not known[2] and not known[5] and not each and limit <= 500 and call('EXISTS', free) == 0
  and call('ZCOUNT', held, '-inf', now) == 0 and call('ZCOUNT', alive, '-inf', now) == 0 then
  local answers = claim_behind_head()
  if answers then
    return answers
  end
end
