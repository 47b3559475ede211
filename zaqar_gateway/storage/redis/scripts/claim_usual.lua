-- claim_usual.lua: begins claim.lua with what claims nearly always are: of messages right behind `head`, which nobody has claimed before
-- and which outlive the claim.  Where there is more to it nothing has been written, and claim.lua goes on with what is known here.
local known = call('HMGET', base, 'inc', 'later', 'head', 'claims', 'dead', 'dead_ttl', 'apart', 'pieces')
local each, ttl_s, grace_s = ARGV[3] == '1', tonumber(ARGV[4]), tonumber(ARGV[5])
local lapses = now + ttl_s * 1000
-- What is the same for nearly all messages of a claim is made once; a number is an argument that is dear to hand over.
local lapses_text = text(lapses)
local limit = 0
for i = 7, #ARGV, 2 do
  limit = limit + ARGV[i]
end

local function claim_behind_head()
  local now_us = now * 1000 + 999 -- so that a message whose rank tells when it was posted has the age that milliseconds give it
  local found = call('XRANGE', main, '(' .. (known[3] or '0'), '+', 'COUNT', limit)
  local number, last, begins, ttl = 0, nil, nil, nil -- of those that are claimed; what the entry of the last one begins with
  local holds, states, claimed, counts, starts, in_runs, answers = {}, {}, {}, {}, {}, 0, {}
  for i = 6, #ARGV, 2 do
    local claim, room = ARGV[i], tonumber(ARGV[i + 1])
    local ranks, first, claim_ttl, age = {}, number, nil, nil -- ttl and age (s) that all have; no age where they differ in one of these
    local out, size = {2, now, known[1], known[7] and 1 or 0}, math.min(room, #found - first)
    for nth = 1, size do
      local one = found[first + nth]
      local rank, entry = one[1]:sub(1, -3), one[2]
      if entry[5] then return end -- it was moved here
      if entry[3] or entry[1] ~= begins then -- of two that begin alike and whose ranks tell when they were posted the later one expires later
        begins, ttl = not entry[3] and entry[1], entry[1]:match('^%d+')
        if (tonumber(entry[4]) or math.floor(rank / 1000)) + ttl * 1000 < lapses then return end
      end
      ranks[nth], out[7 + nth] = rank, entry[2]
      if nth == 1 then
        claim_ttl, age = ttl, size > 1 and math.floor((now_us - rank) / 1000000)
      end
      if ttl ~= claim_ttl or entry[3] and age and math.floor((now - entry[4]) / 1000) ~= age then
        age = nil
      end
    end
    if age and age == math.floor((now_us - ranks[size]) / 1000000) then -- those between are as old, where their ranks tell
      out[5], out[6], out[7] = claim_ttl, age, table.concat(ranks, ',')
    else
      out[1] = 0
      for nth, rank in ipairs(ranks) do
        local entry, n = found[first + nth][2], 4 * nth
        out[n + 1], out[n + 2], out[n + 3], out[n + 4] = rank, entry[1]:match('^%d+'), entry[2], entry[3] and {'', 0, '', entry[4]} or ''
      end
    end
    answers[#answers + 1] = out
    number = first + size
    if size > 0 then
      local entries, packed = ranks, nil
      if size == 1 then
        packed = cmsgpack.pack(claim, lapses, 0, 0, 0, 1)
      elseif known[8] then
        packed = cmsgpack.pack(claim, lapses, 0, 0, 0)
        counts[#counts + 1], counts[#counts + 2] = claim, size
      else
        packed = cmsgpack.pack(claim, lapses, 0, 0, 0, ranks)
        entries = {ranks[1]}
        starts[#starts + 1], starts[#starts + 2] = ranks[1], ranks[1]
        in_runs = in_runs + size - 1
      end
      for i = 1, #entries do
        local n = #states
        holds[n + 1], holds[n + 2] = lapses_text, entries[i]
        states[n + 1], states[n + 2] = entries[i], packed
      end
      claimed[#claimed + 1], claimed[#claimed + 2] = claim, cmsgpack.pack(now, lapses, ttl_s, entries)
      last = ranks[size]
    end
  end
  if number > 0 then
    call('HSET', base, 'head', last)
    call('ZADD', held, unpack(holds))
    call('HSET', state, unpack(states))
    call('HSET', claims, unpack(claimed))
    if counts[1] then
      call('HSET', left, unpack(counts))
    end
    if starts[1] then
      call('ZADD', runs, unpack(starts))
      call('HINCRBY', base, 'in_runs', in_runs)
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
