-- stats.lua: exact counts, the oldest and the newest message.
-- KEYS: queue
-- ARGV: now
-- Returns {now, incarnation, total, claimed, whether to call again, then of the oldest and of the newest, where there
-- is one: rank, id and created (ms) as in common.lua's emit}.
local known = call('HMGET', base, 'inc', 'later')
if not known[1] then
  return {now, '', 0, 0, 0}
end
local more, unswept = settle(known[2])
local total = call('ZCOUNT', alive, '(' .. now, '+inf')
local claimed = call('ZCOUNT', held, '(' .. now, '+inf') + (tonumber(call('HGET', base, 'in_runs')) or 0) -- after settle(), which changes it
local out = {now, known[1], total, claimed, (more or unswept) and 1 or 0}
if out[5] == 1 or total == 0 then
  return out
end
-- Nothing that is left has expired, so that the ends of the streams are the edges.
local function edge(command, from, to, before)
  local found = call(command, main, from, to, 'COUNT', 1)[1]
  local other = known[2] and call(command, later, from, to, 'COUNT', 1)[1]
  if other and (not found or before(tonumber(other[1]:sub(1, -3)), tonumber(found[1]:sub(1, -3)))) then
    found = other
  end
  local entry = found[2]
  out[#out + 1], out[#out + 2], out[#out + 3] = found[1]:sub(1, -3), entry[6] or '', entry[4] or ''
end
edge('XRANGE', '-', '+', function(a, b) return a < b end)
edge('XREVRANGE', '+', '-', function(a, b) return a > b end)
return out
