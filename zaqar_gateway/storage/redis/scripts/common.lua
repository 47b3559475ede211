-- common.lua: begins every script that works on one queue.
--
-- KEYS[1] is the queue: a hash of what is known of it, and the beginning of the names of all its other keys, which
-- share its hash tag and so its slot.  ARGV[1] is the time in ms; '' asks Redis's own clock, which all gateways share.
--
-- A message is an entry of one of two streams whose entry id is its rank (microseconds of the post, unique in the
-- queue): `main`, or `later` for one posted with a delay.  The streams hold what never changes; what does change is
-- in `state`, and only for messages that were claimed at least once.  Nearly all messages of a long queue were never
-- claimed, and a stream costs a third of what a hash and a sorted set would.
--
--   main, later  streams   rank: ttl (s) and client with a blank between, or '+ ' where the body is kept apart, body; 'a' created
--                          (ms) where the rank does not tell it; and, of a message that was moved here, 'i' its id, 'e' expiry
--                          (ms), 'n' claim count; and of a dead letter 'o' where it was, 'r' why.  The first two are a field and
--                          its value, since each of the names and values of an entry takes a fifth of what it takes to read a
--                          small one.
--   alive        zset      every message by expiry (ms)
--   free         zset      free messages at or before `head`, or out of `later`, by rank
--   held         zset      claimed messages by the expiry of their claim (ms); of a run the first
--   delayed      zset      delayed messages by due time (ms)
--   state        hash      rank: claim, its expiry (ms), expiry (ms, 0: as posted), ttl (s), claim count; and of the first of a run the
--                          ranks of all of it, or 1 where the claim was given this one alone
--   claims       hash      claim: created (ms), expiry (ms), ttl (s), ranks of the messages that it was given; of a run the first
--   left         hash      claim: how many of them are left, where it was given more than one, and these are not a run
--   runs         zset      the first messages of runs by rank.  A run is what a claim was given where nobody had claimed it before and
--                          nothing stood in `main` between, as long as all of it is there: most claims of several messages are one
--                          from beginning to end, and one entry for all takes half of the time.  What is done to a part of it
--                          begins with write_out()
--   alias        zset      ids of messages that were moved here by their rank here
--   dead         zset      dead letters by rank
--   bodies       hash      a token: one of the long bodies, which are kept apart; the entry has 2 (a byte) and the token in its
--                          place.  Lua looks at each byte of all that it is given (Redis 7), and a long body goes through other
--                          hands three times more; so that is given past the scripts, in both directions (apart.py)
--   keys, sizes            what was posted under a key (once.lua); a purge leaves them
--
-- `bytes` in the queue's hash is how many bytes the bodies in main and later have.  It is there from the first post under
-- a quota of bytes on that finds the queue empty.
--
-- `cut` in the queue's hash is the greatest rank of what was removed from it: deleted, popped, purged, expired, moved.  A
-- queue that is deleted leaves, for five minutes, a string with the greatest rank that it has had and when that is forgotten
-- (ms); the next one of its name has that rank for its first `cut`.
--
-- `in_runs` in the queue's hash is how many messages are in runs, without the first of each: as many more as are in held are claimed.
--
-- `pieces` in the queue's hash says that claims are no runs now: lately a part of one was touched, as where each message is deleted when it
-- is done with, which takes more than to write a claim out in the first place.  It is how many claims have to go as a whole before they are.
--
-- `apart` in the queue's hash says that there may be something in bodies.
--
-- `subs` in the queue's hash says that there are subscriptions (subscriptions.lua); they outlive the queue.
--
-- The messages of `main` after `head` are free without being in any set: a claim takes from there by moving `head`.
-- In a cluster its name stands behind the hash tag, so that a project has one slot: the key does not end with } (125).  While a slot
-- is moved to another node what is still here is served, and the rest is refused, in the middle of a script as well; so each asks
-- first for what never is.
local call = redis.call
local is_in_cluster = KEYS[1]:byte(-1) ~= 125
local base = KEYS[1]
if is_in_cluster then
  call('EXISTS', base .. ':!')
end
local now, micros = tonumber(ARGV[1]), nil
if now then
  micros = now * 1000
else
  local time = call('TIME')
  micros = time[1] * 1000000 + time[2]
  now = math.floor(micros / 1000)
end
local main = base .. ':m'
local later = base .. ':l'
local alive = base .. ':a'
local free = base .. ':f'
local held = base .. ':h'
local delayed = base .. ':d'
local state = base .. ':s'
local claims = base .. ':c'
local left = base .. ':n'
local runs = base .. ':r'
local alias = base .. ':i'
local dead = base .. ':b'
local bodies = base .. ':w'

-- Most elements of one command: Lua hands no more than some 8,000 arguments over, and no step may take long.
local SLICE = 1000

-- An integer as text.  '%d' is exact up to 2^53, and takes a third of the time of '%.0f'.
local function text(number)
  return string.format('%d', number)
end

-- Whether one rank is less than another: both are decimal.  To compare their numbers takes twenty times as long.
local function is_before(rank, other)
  return #rank < #other or #rank == #other and rank < other
end

local function each_slice(list, act)
  for first = 1, #list, SLICE do
    act(unpack(list, first, math.min(first + SLICE - 1, #list)))
  end
end

-- The ttl (s, as text) and the client that an entry begins with.
local function ttl_of(entry)
  return entry[1]:match('^%d+')
end
local function client_of(entry)
  return entry[1]:match('^%d+%+? (.*)$')
end

-- The instant (ms) at which a message was posted.
local function created_at(rank, entry)
  return tonumber(entry[4]) or math.floor(tonumber(rank) / 1000)
end

-- Expiry (ms), ttl (s), claim count and live claim of a message, from its entry and its state.
local function judge(rank, entry, packed)
  local ttl, count, expires = tonumber(ttl_of(entry)), 0, nil
  if entry[5] then
    expires, count = tonumber(entry[8]), tonumber(entry[10])
  else
    expires = created_at(rank, entry) + ttl * 1000
  end
  if packed then
    local claim, lapses, later_expiry, later_ttl, counted = cmsgpack.unpack(packed)
    if later_expiry > 0 then
      expires, ttl = later_expiry, later_ttl
    end
    if counted > count then
      count = counted
    end
    if lapses > now then
      return expires, ttl, count, claim
    end
  end
  return expires, ttl, count, nil
end

local function fetch(rank, has_later)
  local found = call('XRANGE', main, rank, rank)[1]
  if not found and has_later then
    found = call('XRANGE', later, rank, rank)[1]
  end
  return found and found[2]
end

-- Whether a body is kept apart.  To look at its first byte alone takes more.
local function is_apart(body)
  return #body == 13 and body:byte(1) == 2
end

-- How many bytes a body has.
local function size_of(body)
  return is_apart(body) and call('HSTRLEN', bodies, body:sub(2)) or #body
end

-- An entry with its body, wherever that is kept.
local function whole(entry)
  if is_apart(entry[2]) then
    entry[2] = call('HGET', bodies, entry[2]:sub(2))
  end
  return entry
end

-- Appends what a client is shown of a message: rank, ttl, body, and what is to be said of few: '', or the claim, the claim
-- count, of one that was moved here its id and, of a dead letter, where it was and why, with blanks between, and when it was
-- created (ms) where the rank does not tell it.  Each value of an answer costs a fifth of a command.
local function emit(out, rank, entry, ttl, claim, count)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = rank, ttl, entry[2], ''
  if claim or count > 0 or entry[3] then
    local moved = entry[12] and table.concat({entry[6], entry[12], entry[14] or 'claims'}, ' ') or entry[6]
    out[n + 4] = {claim or '', count, moved or '', entry[4] or ''}
  end
end

-- The rank that an id means in this queue: of one of its own messages, or of one that was moved here, which may have
-- been its own before.
local function resolve(rank, suffix, incarnation, has_moved)
  local moved = has_moved and call('ZSCORE', alias, string.format('%014x', tonumber(rank)) .. suffix)
  return moved or suffix == incarnation and rank
end

-- The ranks that ids mean, as far as they mean any, and the number of each among the ids (nil: all mean one).  They stand from one
-- argument to another: the incarnation that all have, then of each its rank; or '', then of each its rank, a colon and its
-- incarnation.
local function meant_by(first, last, own, has_moved)
  local common = ARGV[first]
  if common == own and not has_moved and last - first <= SLICE then
    return {unpack(ARGV, first + 1, last)}
  end
  local ranks, numbers = {}, {}
  for i = first + 1, own and last or 0 do
    local rank, suffix = ARGV[i], common
    if common == '' then
      rank, suffix = rank:match('(.*):(.*)')
    end
    local meant = resolve(rank, suffix, own, has_moved)
    if meant then
      ranks[#ranks + 1], numbers[#numbers + 1] = meant, i - first
    end
  end
  return ranks, numbers
end

local function drop_if_empty(stream)
  if call('XLEN', stream) == 0 then
    call('UNLINK', stream)
  end
end

-- The states of messages, as each had its own; false where it has none.  And of those that are of runs these, by their number among the
-- messages: {claim, its expiry (ms), ranks, the state that each of its messages is said to have}.
local function states_of(ranks)
  local states, n = {}, 0
  each_slice(ranks, function(...)
    for _, packed in ipairs(call('HMGET', state, ...)) do
      n = n + 1
      states[n] = packed
    end
  end)
  local run_of = {}
  if call('EXISTS', runs) == 0 then
    return states, run_of
  end
  local run_with, looked_at = {}, {} -- each run is looked at once, for it takes as long as it is
  for i, rank in ipairs(ranks) do
    if not run_with[rank] then
      local packed = states[i]
      local first = packed and rank or call('ZRANGE', runs, rank, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, 1)[1]
      if first and not looked_at[first] then
        looked_at[first] = true
        local claim, lapses, _, _, _, run = cmsgpack.unpack(packed or call('HGET', state, first))
        if type(run) == 'table' then
          local found = {claim, lapses, run, cmsgpack.pack(claim, lapses, 0, 0, 0)}
          for _, other in ipairs(run) do run_with[other] = found end
        end
      end
    end
    local run = run_with[rank]
    if run then states[i], run_of[i] = run[4], run end
  end
  return states, run_of
end

-- A run is none any more.  Nothing of it is written here, so that it works when Redis has no memory left, and then what comes after.
local function end_run(ranks)
  call('ZREM', runs, ranks[1])
  call('HINCRBY', base, 'in_runs', 1 - #ranks)
end

-- Claims of several messages that have to go as a whole, after a run was written out, before there is a run again.
local PIECES = 16

-- Writes down of each message of a run what is said of all.
local function write_out(run)
  local claim, lapses, ranks, alone = unpack(run)
  local created, _, ttl_s = cmsgpack.unpack(call('HGET', claims, claim))
  local holds, states, ends = {}, {}, text(lapses)
  for i, rank in ipairs(ranks) do
    holds[2 * i - 1], holds[2 * i] = ends, rank
    states[2 * i - 1], states[2 * i] = rank, alone
  end
  end_run(ranks)
  each_slice(holds, function(...) call('ZADD', held, ...) end)
  each_slice(states, function(...) call('HSET', state, ...) end)
  call('HSET', claims, claim, cmsgpack.pack(created, lapses, ttl_s, ranks))
  call('HSET', left, claim, #ranks)
  call('HSET', base, 'pieces', PIECES)
end

-- Removes messages from everywhere but the claims that they are in.  `kept` is {cut, bytes, dead_letters, apart} as the queue's
-- hash has them, and changes with it; nil where the caller has no use for them.  `is_out` says that they are out of `main`
-- already, which must not be where bytes are counted or bodies kept apart.
local function remove(ranks, has_later, kept, is_out)
  if #ranks == 0 then
    return
  end
  kept = kept or call('HMGET', base, 'cut', 'bytes', 'dead_letters', 'apart')
  local last, cut, bytes, tokens = kept[1] or '', nil, 0, {}
  for _, rank in ipairs(ranks) do
    if is_before(last, rank) then
      last, cut = rank, rank
    end
    local entry = (kept[2] or kept[4]) and fetch(rank, has_later)
    if entry then
      bytes = bytes + size_of(entry[2])
      if is_apart(entry[2]) then tokens[#tokens + 1] = entry[2]:sub(2) end
    end
  end
  each_slice(ranks, function(...)
    if not is_out then call('XDEL', main, ...) end
    call('ZREM', alive, ...)
    call('ZREM', free, ...)
    call('ZREM', held, ...)
    call('HDEL', state, ...)
    if kept[3] then call('ZREM', dead, ...) end
    if has_later then
      call('XDEL', later, ...)
      call('ZREM', delayed, ...)
    end
  end)
  each_slice(tokens, function(...) call('HDEL', bodies, ...) end)
  -- After something was removed, so that it works when Redis has no memory left:
  if cut then
    call('HSET', base, 'cut', cut)
    kept[1] = cut
  end
  if kept[2] and bytes > 0 then
    call('HINCRBY', base, 'bytes', -bytes)
  end
  drop_if_empty(main)
  if has_later then drop_if_empty(later) end
end

-- Forgets claims.
local function end_claims(ended)
  each_slice(ended, function(...)
    call('HDEL', claims, ...)
    call('HDEL', left, ...)
  end)
end

-- Takes messages out of their claims: {claim: how many}.  A claim with no message left has ended, as most have then: to ask for all
-- before takes less than to count down each, and one of a single message needs no count.
local function leave_claims(leaving)
  local names, ended = {}, {}
  for claim in pairs(leaving) do
    names[#names + 1] = claim
  end
  each_slice(names, function(...)
    local some = {...}
    for i, number in ipairs(call('HMGET', left, ...)) do
      local claim = some[i]
      if tonumber(number or 0) <= leaving[claim] then
        ended[#ended + 1] = claim
      else
        call('HINCRBY', left, claim, -leaving[claim])
      end
    end
  end)
  end_claims(ended)
end

-- The claims that some messages are under, live or lapsed, by their states.
local function claims_in(states)
  local found = {}
  for _, packed in ipairs(states) do
    local claim = packed and cmsgpack.unpack(packed)
    if claim and claim ~= '' then
      found[#found + 1] = claim
    end
  end
  return found
end

-- Gives messages back: free, at their old place, with what they keep of their claims.
local function give_back(ranks, states)
  local scores, kept, dropped = {}, {}, {}
  for i, rank in ipairs(ranks) do
    scores[#scores + 1], scores[#scores + 2] = rank, rank
    local _, _, expires, ttl, count = cmsgpack.unpack(states[i])
    if expires > 0 or count > 0 then
      kept[#kept + 1], kept[#kept + 2] = rank, cmsgpack.pack('', 0, expires, ttl, count)
    else
      dropped[#dropped + 1] = rank
    end
  end
  each_slice(ranks, function(...) call('ZREM', held, ...) end)
  each_slice(scores, function(...) call('ZADD', free, ...) end)
  each_slice(kept, function(...) call('HSET', state, ...) end)
  each_slice(dropped, function(...) call('HDEL', state, ...) end)
end

-- Whether something of a set is due.  To ask takes less than half of what it takes to be told that it is nothing.
local function is_due(set)
  return call('ZCOUNT', set, '-inf', now) > 0
end

-- Moves what has become due, in slices: lapsed claims, delays that are over, expired messages.
-- `kept` is what remove() has it for.
-- Returns whether there may be more that belongs among the free messages.
local function settle(has_later, kept)
  local more = false
  local lapsed = is_due(held) and call('ZRANGE', held, '-inf', now, 'BYSCORE', 'LIMIT', 0, SLICE) or {}
  if #lapsed > 0 then
    local ranks, states, at = {}, {}, 1
    while lapsed[at] and #ranks < SLICE do -- a few at a time: one may be of a run of hundreds, and its state as long
      for _, packed in ipairs(call('HMGET', state, unpack(lapsed, at, math.min(at + 49, #lapsed)))) do
        local claim, lapses, _, _, _, run = cmsgpack.unpack(packed)
        if type(run) == 'table' then -- as end_run(), which nearly all scripts would make anew each time if it were called here
          call('ZREM', runs, run[1])
          call('HINCRBY', base, 'in_runs', 1 - #run)
          packed = cmsgpack.pack(claim, lapses, 0, 0, 0)
        else
          run = {lapsed[at]}
        end
        for _, rank in ipairs(run) do
          ranks[#ranks + 1], states[#states + 1] = rank, packed
        end
        at = at + 1
        if #ranks >= SLICE then break end
      end
    end
    more = #lapsed == SLICE or lapsed[at] ~= nil
    end_claims(claims_in(states))
    give_back(ranks, states)
  end
  if has_later then
    local due = call('ZRANGE', delayed, '-inf', now, 'BYSCORE', 'LIMIT', 0, SLICE / 2)
    if #due > 0 then
      more = more or #due == SLICE / 2
      local scores = {}
      for _, rank in ipairs(due) do
        scores[#scores + 1], scores[#scores + 2] = rank, rank
      end
      call('ZREM', delayed, unpack(due))
      call('ZADD', free, unpack(scores))
    end
  end
  local expired = not more and is_due(alive) and call('ZRANGE', alive, '-inf', now, 'BYSCORE', 'LIMIT', 0, SLICE) or {}
  if #expired > 0 then
    -- A message outlives its claim, so that any claim which is still known has lapsed; and runs that lapsed are none any more.
    end_claims(claims_in(call('HMGET', state, unpack(expired))))
    remove(expired, has_later, kept)
  end
  return more, more or #expired == SLICE
end

-- Tells whoever listens to a channel: that of a queue has its key, that there may be something; that of its changes ':changed' behind it.
-- What is sharded goes to the nodes that have the slot, and not to all of a cluster.
local function ring(channel)
  call(is_in_cluster and 'SPUBLISH' or 'PUBLISH', channel, '')
end

-- The name of a queue, by its key.
local function name_of(queue)
  return queue:match('([^/}]*)}?$')
end

-- The key of another queue of the project.
local function key_of(name)
  return base:match('^(.*/)') .. name .. base:match('}?$')
end

-- The rank of the next message: the time, yet more than any before.
local function next_rank(last)
  return math.max((tonumber(last) or 0) + 1, micros)
end

-- Whether a project has as many queues as it may have.
local function is_full(catalog, most)
  return catalog and most > 0 and call('ZCARD', catalog) >= most
end

-- The greatest rank that any message of the queue has had; 0 where there was none.
local function last_of_all()
  local last = tonumber(call('HGET', base, 'cut')) or 0
  for _, stream in ipairs({main, later}) do
    local found = call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
    last = math.max(last, found and tonumber(found[1]:sub(1, -3)) or 0)
  end
  return last
end

local PAST_KEPT = 300000 -- ms for which it is known how far a queue that was deleted had come

-- How far the last queue had come whose key this is, where it was deleted lately: a rank, or nil.
local function past_of(queue)
  local packed = call('GET', queue .. ':g')
  local rank, until_ms = nil, 0
  if packed then
    rank, until_ms = cmsgpack.unpack(packed)
  end
  return until_ms > now and rank or nil
end

-- Makes a queue exist; its name is the last part of its key.  Returns the last rank that was given out under that name, as
-- far as that is known, and whether subscriptions have outlived an earlier queue.
local function create(queue, catalog, incarnation, metadata)
  call('HSET', queue, 'inc', incarnation, 'md', metadata)
  if catalog then
    call('ZADD', catalog, 0, name_of(queue))
  end
  local followed, cut = call('HGET', queue .. ':um', 'rank'), past_of(queue)
  local rank = followed
  if cut then
    call('HSET', queue, 'cut', cut)
    rank = followed and tonumber(followed) > tonumber(cut) and followed or cut
  end
  if rank then
    call('HSET', queue, 'rank', rank)
  end
  if followed then
    call('HSET', queue, 'subs', 1)
  end
  return rank, followed
end
