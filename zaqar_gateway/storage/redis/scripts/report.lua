-- report.lua: what was done under a lease; and what is owed next.
-- KEYS: queue
-- ARGV: now, id, token, cursor ('': no further), attempts at what comes next, how long that waits (ms; '': the lease is kept),
--       most posts, how long a lease lasts (ms), whether only confirmed ones are delivered to, then of each post that was
--       given up: rank, attempts, reason
-- Returns {now, whether it counted, retry policy}, then what owed_to() gives.
drop_expired()
local id, token = ARGV[2], tonumber(ARGV[3])
local held = lease_of(id)
local name, _, _, _, confirmed = subscription(id)
local batch, required = tonumber(ARGV[7]), ARGV[9] == '1'
if not name or held ~= token or not is_leased(id) then
  return {now, 0, ''}
end
local before, attempts = tonumber(call('ZSCORE', cursors, id)), tonumber(ARGV[5])
local cursor = math.max(before, tonumber(ARGV[4]) or 0)
call('ZADD', cursors, text(cursor), id)
for i = 10, #ARGV, 3 do
  local rank = tonumber(ARGV[i])
  if rank > before and rank <= cursor then
    fail(id, name, ARGV[i], ARGV[i + 1], ARGV[i + 2])
  end
end
log_settle()
if ARGV[6] ~= '' then
  local told = {}
  if attempts > 0 and cursor >= tonumber(call('HGET', about, 'lost')) then
    tell(told, text(cursor), 1, wanted_by(id, confirmed, required))
  end
  keep_lease(id, token, told[1] and attempts or 0, 0, told[1] or '0')
  call('ZADD', waiting, text(now + ARGV[6]), id)
  return {now, 1, ''}
end
local owed, more = owed_to(id, token, attempts, nil, batch, required)
while not owed and more do
  owed, more = owed_to(id, token, 0, nil, batch, required)
end
if owed then
  keep_lease(id, token, owed[9], 1, owed[11][1])
  call('ZADD', waiting, text(now + ARGV[8]), id)
  return {now, 1, call('HGET', base, 'retry') or '', owed}
end
keep_lease(id, token, 0, 0, '0')
stand(id, call('ZSCORE', cursors, id))
return {now, 1, ''}
