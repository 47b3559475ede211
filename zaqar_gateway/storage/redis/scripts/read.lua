-- read.lua: a page of a queue as it was posted, claimed and delayed messages among it.
-- KEYS: queue
-- ARGV: now, where to begin ('earliest', 'latest', or the rank of a marker), incarnation of the marker, most messages, the
--       incarnation of what no queue has
-- Returns {whether to call again, now, incarnation, whether there is a gap, cut, the rank from which to go on, whether there
-- may be more, clients, messages...}.
local MOST = 262144 -- bytes of bodies after which a page ends
local BATCH = 16

local known = call('HMGET', base, 'inc', 'later', 'moved')
local from, incarnation, none = ARGV[2], ARGV[3], ARGV[5]
if not known[1] then
  local last = tonumber(past_of(base)) or 0
  local gap = false
  if from ~= 'earliest' and from ~= 'latest' then
    gap = incarnation ~= none or last > tonumber(from)
    if incarnation == none then last = math.max(last, tonumber(from)) end
  end
  return {0, now, none, gap and 1 or 0, text(last), text(last), 0, {}}
end
local _, unswept = settle(known[2])
if unswept then
  return {1}
end
local ends = call('HMGET', base, 'rank', 'cut')
local last, cut, gap = ends[1] or '0', tonumber(ends[2]) or 0, false
if from == 'latest' then
  return {0, now, known[1], 0, text(cut), last, 0, {}}
elseif from == 'earliest' then
  from = '0'
elseif incarnation == none then -- there was no queue, so that all that is in this one came later
  from, gap = '0', cut > tonumber(from)
else
  from = resolve(from, incarnation, known[1], known[3])
  gap = not from or cut > tonumber(from)
  from = from or '0'
end

-- Each source gives the entry that it is at; `pass` has it go on to the next one.
local function source(stream)
  local found, at, after = {}, 1, from
  return function(pass)
    if pass then at = at + 1 end
    if at > #found and after then
      found, at = call('XRANGE', stream, '(' .. after, '+', 'COUNT', BATCH), 1
      after = #found == BATCH and found[BATCH][1]
    end
    return found[at]
  end
end
local sources = {source(main), known[2] and source(later) or nil}

-- The source that has the next message, and that message.
local function next_one()
  local which, least
  for _, each in ipairs(sources) do
    local one = each()
    if one and (not least or tonumber(one[1]:sub(1, -3)) < tonumber(least[1]:sub(1, -3))) then
      which, least = each, one
    end
  end
  return which, least
end

local clients, most, bytes = {}, tonumber(ARGV[4]), 0
local out = {0, now, known[1], gap and 1 or 0, text(cut), last, 0, clients}
local which, one = next_one()
while one and #clients < most and bytes < MOST do
  local rank, entry = one[1]:sub(1, -3), one[2]
  emit(out, rank, whole(entry), ttl_of(entry), nil, 0)
  clients[#clients + 1], bytes, out[6] = client_of(entry), bytes + #entry[2], rank
  which(true)
  which, one = next_one()
end
if one then
  out[7] = 1
else
  out[6] = last
end
return out
