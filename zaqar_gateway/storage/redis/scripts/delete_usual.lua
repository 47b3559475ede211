-- delete_usual.lua: begins delete.lua with what deletions nearly always are: of messages of this queue that live claims hold, each asked for
-- once.  Where there is more to it nothing has been written, and delete.lua goes on with what is known here.
local known = call('HMGET', base, 'inc', 'later', 'moved', 'cut', 'bytes', 'dead_letters', 'apart', 'pieces')
local mode, own = ARGV[2], known[1]

-- The ranks of the messages, the claims that are given for them, and the number of requests; nothing where a message is not one of this
-- queue's own.
local function asked_for()
  local ranks, given, n, number, at = {}, {}, 0, 0, 3
  while ARGV[at] do
    local last = mode == 'one' and at + 2 or at + ARGV[at]
    if ARGV[at + 1] ~= own then return end
    if n == 0 and mode ~= 'one' then
      ranks = {unpack(ARGV, at + 2, math.min(last, at + 2 + SLICE))}
      n = #ranks
    else
      for i = at + 2, last do
        n = n + 1
        ranks[n] = ARGV[i]
        if mode == 'one' then given[n] = ARGV[at] end
      end
    end
    number, at = number + 1, last + 1
  end
  return ranks, given, number
end

-- Of the messages: what has an entry of its own, which of a run is the first; the runs; of the other claims how many messages each loses;
-- the claims of runs; and the greatest rank.  Nothing where a message is not held, or not by the claim that is given, or where they are a
-- part of a run alone, or where one is asked for twice.
local function entries_of(ranks, given)
  local entries, whole_runs, leaving, ended, last, seen, i = {}, {}, {}, {}, '', {}, 1
  local states = mode == 'one' and call('HMGET', state, unpack(ranks))
  while ranks[i] do
    local rank = ranks[i]
    local packed = states and states[i] or not states and call('HGET', state, rank)
    if not packed or seen[rank] then return end
    local claim, lapses, _, _, _, run = cmsgpack.unpack(packed)
    if lapses <= now or given[i] and given[i] ~= claim then return end
    entries[#entries + 1], seen[rank] = rank, true
    if type(run) == 'table' then
      for nth = 2, #run do
        rank, i = ranks[i + 1], i + 1
        if rank ~= run[nth] or given[i] and given[i] ~= claim then return end
      end
      whole_runs[#whole_runs + 1], ended[#ended + 1] = run, claim
    else
      if run == 1 then ended[#ended + 1] = claim else leaving[claim] = (leaving[claim] or 0) + 1 end
      states = states or call('HMGET', state, unpack(ranks)) -- more of them are none, and to ask for all takes less
    end
    if #last < #rank or #last == #rank and last < rank then last = rank end -- a call of is_before() for each is too much here
    i = i + 1
  end
  return entries, whole_runs, leaving, ended, last
end

-- Takes runs out of `main`, as far as that begins with them: to cut off a beginning takes a third of what it takes to find each.  Returns
-- how many these are.
local function cut_off(whole_runs)
  for i, run in ipairs(whole_runs) do
    local begins = call('XRANGE', main, '-', '+', 'COUNT', 1)[1]
    if not begins or begins[1]:sub(1, -3) ~= run[1] then return i - 1 end
    call('XTRIM', main, 'MINID', run[#run] .. '-1')
  end
  return #whole_runs
end

local function delete_held()
  local ranks, given, number = asked_for()
  if not ranks or #ranks == 0 or #ranks > SLICE then return end
  local entries, whole_runs, leaving, ended, last = entries_of(ranks, given)
  if not entries then return end
  -- These first: they need no memory, and what is written after something was removed may take some when Redis has none left.
  call('ZREM', alive, unpack(ranks))
  call('ZREM', held, unpack(entries))
  call('HDEL', state, unpack(entries))
  if whole_runs[1] then
    local starts, in_runs = {}, 0
    for i, run in ipairs(whole_runs) do
      starts[i], in_runs = run[1], in_runs - #run + 1
    end
    call('ZREM', runs, unpack(starts))
    call('HINCRBY', base, 'in_runs', in_runs)
  end
  if cut_off(whole_runs) < #entries then call('XDEL', main, unpack(ranks)) end
  local counted, wholes = {}, 0
  for claim, gone in pairs(leaving) do
    local count = call('HGET', left, claim)
    if tonumber(count or 1) > gone then
      call('HINCRBY', left, claim, -gone)
    else
      ended[#ended + 1] = claim
      if count then counted[#counted + 1] = claim end
      if gone > 1 then wholes = wholes + 1 end
    end
  end
  if ended[1] then call('HDEL', claims, unpack(ended)) end
  if counted[1] then call('HDEL', left, unpack(counted)) end
  if not known[4] or is_before(known[4], last) then call('HSET', base, 'cut', last) end
  if known[8] and wholes > 0 then
    if wholes < tonumber(known[8]) then call('HINCRBY', base, 'pieces', -wholes) else call('HDEL', base, 'pieces') end
  end
  drop_if_empty(main)
  local answers = {}
  for i = 1, number do
    answers[i] = {0}
  end
  return answers
end

if mode ~= 'under' and own and not known[2] and not known[3] and not known[5] and not known[6] and not known[7] then
  local answers = delete_held()
  if answers then
    return answers
  end
end
