-- delete.lua: delete messages by id: those of several requests, one after the other.
-- KEYS: queue
-- ARGV: now, mode, then what the mode asks for, with ids as meant_by() takes them:
--   'one': of each request the claim ('': none is given) and one id.  A claim has to be the one that holds the message, and is
--       needed where one does
--   'any': of each request how many arguments its ids take, and the ids; claimed or not
--   'under', of one request: number of claims, claims, ids.  Each message has to be under one of the claims, or none is deleted
-- Returns of each request {0}, or {1, n}: the n-th message is claimed, or {2, n}: it is not under the claim given.
local has_later, has_moved = known[2], known[3]
local kept = {known[4], known[5], known[6], known[7]}

-- Which of some messages exist.
local function alive_of(ranks)
  local alive_ones, n = {}, 0
  each_slice(ranks, function(...)
    for _, expires in ipairs(call('ZMSCORE', alive, ...)) do
      n = n + 1
      alive_ones[n] = expires and tonumber(expires) > now
    end
  end)
  return alive_ones
end

local holder, lapses, read -- what the state says that was read last: messages of one claim mostly have the same

local function look(packed)
  if packed and packed ~= read then
    holder, lapses = cmsgpack.unpack(packed)
    read = packed
  end
  return packed
end

-- How many messages the claims lose that these states name; also lapsed ones, which may not have been cleared away yet.
local function leaving_by(states)
  local leaving = {}
  for _, packed in ipairs(states) do
    if look(packed) and holder ~= '' then
      leaving[holder] = (leaving[holder] or 0) + 1
    end
  end
  return leaving
end

local gone, gone_states, gone_of, out = {}, {}, {}, 0 -- gone_of: how many of each run

local function take_out(is_out)
  if out > 0 then
    for run, number in pairs(gone_of) do
      if not run.is_none then
        if number == #run[3] then end_run(run[3]) else write_out(run) end
        run.is_none = true -- others of it may follow
      end
    end
    remove(gone, has_later, kept, is_out)
    leave_claims(leaving_by(gone_states)) -- after something was removed, so that it works when Redis has no memory left
    gone, gone_states, gone_of, out = {}, {}, {}, 0
  end
end

local function add(rank, packed, run)
  out = out + 1
  gone[out], gone_states[out] = rank, packed
  if run then gone_of[run] = (gone_of[run] or 0) + 1 end
end

local function delete_each()
  local ranks, answers, is_removed = {}, {}, {}
  for i = 3, #ARGV, 3 do
    local is_own = ARGV[i + 1] == own and not has_moved
    ranks[#ranks + 1] = is_own and ARGV[i + 2] or meant_by(i + 1, i + 2, own, has_moved)[1] or ''
  end
  local states, run_of = states_of(ranks)
  local are_alive = alive_of(ranks)
  for i, rank in ipairs(ranks) do
    local given, answer = ARGV[3 * i], {0}
    if are_alive[i] and not is_removed[rank] then
      local packed = look(states[i])
      local claim = packed and lapses > now and holder or ''
      if claim == given then
        is_removed[rank] = true
        add(rank, packed, run_of[i])
      elseif given == '' then
        answer = {1, 1}
      else
        answer = {2, 1}
        if claim ~= '' then
          take_out() -- the claim given may have ended with what went before
          local other = call('HGET', claims, given)
          if other then
            local _, ends = cmsgpack.unpack(other)
            if ends > now then answer = {1, 1} end
          end
        end
      end
    end
    answers[i] = answer
  end
  take_out()
  return answers
end

local function delete_any()
  local answers, ranks, at = {}, nil, 3
  while ARGV[at] do
    answers[#answers + 1] = {0}
    local last = at + ARGV[at]
    local more = meant_by(at + 1, last, own, has_moved)
    if not ranks then
      ranks = more
    else
      for _, rank in ipairs(more) do
        ranks[#ranks + 1] = rank
      end
    end
    at = last + 1
  end
  -- Taking them out of the stream tells whether all were there, and each was asked for once; when they expire need not be asked
  -- then, which would be an eighth of the whole.
  local number_out = 0
  if not has_later and not kept[2] and not kept[4] then
    each_slice(ranks, function(...) number_out = number_out + call('XDEL', main, ...) end)
    if number_out == #ranks then
      local states, run_of = states_of(ranks)
      for i, rank in ipairs(ranks) do
        add(rank, states[i], run_of[i])
      end
      take_out(true)
      return answers
    end
  end
  local states, run_of = states_of(ranks)
  local are_alive, is_removed = alive_of(ranks), {}
  for i, rank in ipairs(ranks) do
    if (are_alive[i] or number_out > 0 and call('ZSCORE', alive, rank)) and not is_removed[rank] then
      is_removed[rank] = true
      add(rank, states[i], run_of[i])
    end
  end
  take_out()
  return answers
end

local function delete_under()
  local given, number, seen = {}, tonumber(ARGV[3]), {}
  for i = 4, 3 + number do
    given[ARGV[i]] = true
  end
  local ranks, numbers = meant_by(4 + number, #ARGV, own, has_moved)
  local states, run_of = states_of(ranks)
  local are_alive = alive_of(ranks)
  for i, rank in ipairs(ranks) do
    if are_alive[i] and not seen[rank] then
      local packed = look(states[i])
      local claim = packed and lapses > now and holder
      if not (claim and given[claim]) then
        return {{2, numbers and numbers[i] or i}}
      end
      seen[rank] = true
      add(rank, packed, run_of[i])
    end
  end
  take_out()
  return {{0}}
end

return mode == 'one' and delete_each() or mode == 'any' and delete_any() or delete_under()
