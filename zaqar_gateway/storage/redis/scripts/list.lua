-- list.lua: a page of messages in queue order.
-- KEYS: queue
-- ARGV: now, marker (rank, or '' for the beginning), incarnation of the marker, limit, whether to leave out a client,
--       the client, include claimed, include delayed
-- Returns {now, incarnation, whether the queue knows delay, rank that the next page is behind, what is left, messages...}.  The next page
-- begins behind no message that is only hidden now, since it is claimed or delayed.  What is left: 0 nothing, 1 all of it, else the rank
-- behind which it is.
local known = call('HMGET', base, 'inc', 'later', 'head', 'delay', 'moved')
if not known[1] then
  return {now, '', 0, '', 0}
end
local has_later, head = known[2], known[3] or '0'
local knows_delay = (tonumber(known[4]) or 0) > 0
local limit, skip = tonumber(ARGV[4]), ARGV[5] == '1' and ARGV[6]
local with_claimed, with_delayed = ARGV[7] == '1', ARGV[8] == '1' or not knows_delay
local marker = ARGV[2]
if marker == '' then
  marker = '0'
else
  marker = resolve(marker, ARGV[3], known[1], known[5]) or marker
end
local unsettled, unswept = settle(has_later)
if unsettled then
  return {now, known[1], 0, '', 1}
end

-- Each source gives ranks in ascending order, a batch at a time.  A page that nothing is left out of needs one batch; the next ones are
-- larger, so that little is read in vain, and many that are left out take few reads.
local BATCH_MAX = math.max(limit, 100)
local function source(after, read)
  return {ranks = {}, entries = {}, states = {}, at = 1, after = after, read = read, batch = limit}
end
local function head_of(from)
  if not from.ranks[from.at] and not from.ended then
    from.ranks, from.entries, from.states, from.at = {}, {}, {}, 1
    from.read(from)
    local count = #from.ranks
    from.ended, from.after = count < from.batch, from.ranks[count]
    from.batch = math.min(2 * from.batch, BATCH_MAX)
    -- Only what a claim has passed can have a state.
    if count > 0 and (has_later or not is_before(head, from.ranks[1])) then
      from.states = states_of(from.ranks)
    end
  end
  return from.ranks[from.at]
end
local function stream(key)
  return function(from)
    local ranks, entries = from.ranks, from.entries
    for i, found in ipairs(call('XRANGE', key, '(' .. from.after, '+', 'COUNT', from.batch)) do
      ranks[i], entries[i] = found[1]:sub(1, -3), found[2]
    end
  end
end
local function freed(from)
  from.ranks = call('ZRANGE', free, '(' .. from.after, '+inf', 'BYSCORE', 'LIMIT', 0, from.batch)
  for i, rank in ipairs(from.ranks) do
    from.entries[i] = fetch(rank, has_later) or false
  end
end

-- Mostly one of them has anything, and nothing needs to be merged.
local sources = {}
local function add(from)
  if head_of(from) then
    sources[#sources + 1] = from
  end
end
if with_claimed then
  add(source(marker, stream(main)))
else
  add(source(is_before(marker, head) and head or marker, stream(main)))
  add(source(marker, freed))
end
if has_later and (with_claimed or with_delayed) then
  add(source(marker, stream(later)))
end

-- The source that has the next message; another one that has it, too, passes it.
local function next_source()
  local which, least = nil, nil
  for _, from in ipairs(sources) do
    local rank = head_of(from)
    if rank and rank == least then
      from.at = from.at + 1
    elseif rank and (not least or is_before(rank, least)) then
      which, least = from, rank
    end
  end
  return which
end

local out, looked, last, cursor, found = {now, known[1], knows_delay and 1 or 0, '', 0}, 0, '', nil, 0
local begun, ttl, client = nil, nil, nil -- what an entry begins with: most of a queue have the same
while found < limit do
  if looked >= SLICE / 2 then
    out[5] = cursor
    break
  end
  local from = sources[1]
  if sources[2] then
    from = next_source()
  end
  local rank = from and head_of(from)
  if not rank then
    break
  end
  local at = from.at
  local entry, packed = from.entries[at], from.states[at]
  from.at = at + 1
  looked, cursor = looked + 1, rank
  if entry and entry[1] ~= begun then
    begun, ttl, client = entry[1], ttl_of(entry), client_of(entry)
  end
  if not entry or client == skip then
    last = rank
  else
    local shown_ttl, count, claim, is_alive = ttl, 0, nil, true
    if packed or unswept or entry[5] then
      local expires
      expires, shown_ttl, count, claim = judge(rank, entry, packed)
      is_alive = expires > now
    end
    if is_alive and (with_claimed or not claim) then
      if with_delayed or not has_later or not call('ZSCORE', delayed, rank) then
        emit(out, rank, whole(entry), shown_ttl, claim, count)
        found, last = found + 1, rank
      end
    end
  end
end
out[4] = last
return out
