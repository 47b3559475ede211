-- list.lua: a page of messages in queue order.
-- KEYS: queue
-- ARGV: now, marker (rank, or '' for the beginning), incarnation of the marker, limit, whether to leave out a client,
--       the client, include claimed, include delayed
-- Returns {now, incarnation, whether the queue knows delay, rank last looked at, whether there may be more, messages...}
local known = call('HMGET', base, 'inc', 'later', 'head', 'delay', 'moved')
if not known[1] then
  return {now, '', 0, '', 0}
end
local has_later, head = known[2], tonumber(known[3]) or 0
local knows_delay = (tonumber(known[4]) or 0) > 0
local limit, skip = tonumber(ARGV[4]), ARGV[5] == '1' and ARGV[6]
local with_claimed, with_delayed = ARGV[7] == '1', ARGV[8] == '1' or not knows_delay
local marker = ARGV[2]
if marker == '' then
  marker = '0'
else
  marker = resolve(marker, ARGV[3], known[1], known[5]) or marker
end
if settle(has_later) then
  return {now, known[1], 0, '', 1}
end

-- Each source gives ranks in ascending order, a batch at a time.  A page that nothing is left out of needs one batch.
local batch = limit
local function source(after, read)
  return {ranks = {}, entries = {}, at = 1, after = after, read = read}
end
local function head_of(from)
  if not from.ranks[from.at] and not from.ended then
    from.ranks, from.entries, from.at, from.batch = {}, {}, 1, batch
    from.read(from)
    from.ended = #from.ranks < from.batch
    from.after = from.ranks[#from.ranks]
  end
  return from.ranks[from.at]
end
local function stream(key)
  return function(from)
    for i, found in ipairs(call('XRANGE', key, '(' .. from.after, '+', 'COUNT', from.batch)) do
      from.ranks[i], from.entries[i] = found[1]:sub(1, -3), found[2]
    end
  end
end
local function freed(from)
  from.ranks = call('ZRANGE', free, '(' .. from.after, '+inf', 'BYSCORE', 'LIMIT', 0, from.batch)
  for i, rank in ipairs(from.ranks) do
    from.entries[i] = fetch(rank, has_later) or false
  end
end

local sources = {}
if with_claimed then
  sources[1] = source(marker, stream(main))
else
  sources[1] = source(tonumber(marker) < head and text(head) or marker, stream(main))
  sources[2] = source(marker, freed)
end
if has_later and (with_claimed or with_delayed) then
  sources[#sources + 1] = source(marker, stream(later))
end

local out, looked, last, found = {now, known[1], knows_delay and 1 or 0, '', 0}, 0, '', 0
while found < limit do
  if looked >= SLICE / 2 then
    out[5] = 1
    break
  end
  local least
  for _, from in ipairs(sources) do
    local rank = head_of(from)
    if rank and (not least or tonumber(rank) < tonumber(least)) then
      least = rank
    end
  end
  if not least then
    break
  end
  local entry
  for _, from in ipairs(sources) do
    if from.ranks[from.at] == least then
      entry, from.at = from.entries[from.at], from.at + 1
    end
  end
  looked, last = looked + 1, least
  if looked >= limit then
    batch = math.max(limit, 100)
  end
  if entry and entry[4] ~= skip then
    -- Only what a claim has passed can have a state.
    local passed = tonumber(least) <= head or has_later
    local expires, ttl, count, claim = judge(least, entry, passed and call('HGET', state, least))
    if expires > now and (with_claimed or not claim) then
      if with_delayed or not has_later or not call('ZSCORE', delayed, least) then
        emit(out, least, entry, ttl, claim, count)
        found = found + 1
      end
    end
  end
end
out[4] = last
return out
