-- delete_usual.lua: begins delete.lua with what deletions nearly always are: of messages of this queue that live claims hold, each asked for
-- once.  Where there is more to it nothing has been written, and delete.lua goes on with what is known here.
local known = call('HMGET', base, 'inc', 'later', 'moved', 'cut', 'bytes', 'dead_letters', 'apart')
local mode, own = ARGV[2], known[1]

-- The ranks of the messages, the claims that are given for them, and the number of requests; nothing where a message is not one of this
-- queue's own or is asked for twice.
local function asked_for()
  local ranks, given, seen, n, number, at = {}, {}, {}, 0, 0, 3
  while ARGV[at] do
    local last = mode == 'one' and at + 2 or at + ARGV[at]
    if ARGV[at + 1] ~= own then return end
    for i = at + 2, last do
      local rank = ARGV[i]
      if seen[rank] then return end
      n = n + 1
      ranks[n], seen[rank] = rank, true
      if mode == 'one' then given[n] = ARGV[at] end
    end
    number, at = number + 1, last + 1
  end
  return ranks, given, number
end

-- The claims that hold messages, of each how many of these it loses, how many it was given where its messages stood together in `main`, and
-- then which is the first; nothing where a message is not held, or not by the claim that is given.
local function holders_of(ranks, given)
  local names, leaving, sizes, starts, before, name, lapses = {}, {}, {}, {}, nil, nil, nil
  for i, packed in ipairs(call('HMGET', state, unpack(ranks))) do
    if packed ~= before then -- of messages of one claim it is mostly the same
      if not packed then return end
      local holder, ends, _, _, _, size = cmsgpack.unpack(packed)
      before, name, lapses = packed, holder, ends
      if not leaving[name] then
        names[#names + 1], leaving[name], sizes[name], starts[name] = name, 0, size, i
      else
        starts[name] = nil
      end
    end
    if lapses <= now or given[i] and given[i] ~= name then return end
    leaving[name] = leaving[name] + 1
  end
  return names, leaving, sizes, starts
end

-- Takes all that is left of a claim whose messages stood together out of `main`, where that begins with them: nothing else comes before
-- the last one then, and to cut off a beginning takes a third of what it takes to find each.  Returns whether it did.
local function cut_off(ranks, start, count)
  local first, last = ranks[start], ranks[start]
  for i = start + 1, start + count - 1 do
    local rank = ranks[i]
    if is_before(last, rank) then last = rank elseif is_before(rank, first) then first = rank end
  end
  local begins = call('XRANGE', main, '-', '+', 'COUNT', 1)[1]
  return begins and begins[1]:sub(1, -3) == first and call('XTRIM', main, 'MINID', last .. '-1')
end
local CUT_OFF_MIN = 8 -- messages, for which it is worth the look

local function delete_held()
  local ranks, given, number = asked_for()
  if not ranks or #ranks == 0 or #ranks > SLICE then return end
  local names, leaving, sizes, starts = holders_of(ranks, given)
  if not names then return end
  local of_several = {}
  for _, name in ipairs(names) do
    if sizes[name] ~= 1 then of_several[#of_several + 1] = name end
  end
  local counts, ended, counted, cut = {}, {}, {}, 0
  if #of_several > 0 then
    for i, count in ipairs(call('HMGET', left, unpack(of_several))) do
      counts[of_several[i]] = count
    end
  end
  -- These first: they need no memory, and what is written after something was removed may take some when Redis has none left.
  call('ZREM', alive, unpack(ranks))
  call('ZREM', held, unpack(ranks))
  call('HDEL', state, unpack(ranks))
  for _, name in ipairs(names) do
    local gone, count = leaving[name], counts[name]
    if tonumber(count or 1) > gone then
      call('HINCRBY', left, name, -gone)
    else
      ended[#ended + 1] = name
      if count then counted[#counted + 1] = name end
      -- Where a part of a claim was given back and the clock was set back then, the rest is held and not counted any more.
      if gone >= CUT_OFF_MIN and gone == tonumber(count) and sizes[name] and starts[name] == cut + 1 and cut_off(ranks, cut + 1, gone) then
        cut = cut + gone
      end
    end
  end
  if cut < #ranks then call('XDEL', main, unpack(ranks, cut + 1)) end
  if #ended > 0 then call('HDEL', claims, unpack(ended)) end
  if #counted > 0 then call('HDEL', left, unpack(counted)) end
  local last = known[4] or ''
  for _, rank in ipairs(ranks) do
    if #last < #rank or #last == #rank and last < rank then last = rank end -- a call of is_before() for each is too much here
  end
  if last ~= known[4] then call('HSET', base, 'cut', last) end
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
