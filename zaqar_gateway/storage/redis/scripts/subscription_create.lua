-- subscription_create.lua: make a subscription, and the queue where it is missing.
-- KEYS: queue, catalog (as in post.lua), followed (zset: names of the project's queues that may have
--       subscriptions; left out where nobody counts them)
-- ARGV: now, id, subscriber, ttl (s), options, owner ('': none), confirmed ('1' or '0'), seconds for which a notice may be
--       answered ('': none is owed), incarnation for a new queue, bounds of the log (bytes, s), most
--       queues of the project, most subscriptions (0: any number)
-- Returns {id, whether it is new, whether it is confirmed, the last rank before it}, or {'', which, 0, ''}: there would be
-- more than the most (2 queues, 3 subscriptions).
drop_expired()
local id, name, owner = ARGV[2], ARGV[3], ARGV[6]
local is_missing, most = call('EXISTS', base) == 0, tonumber(ARGV[13])
if is_missing and is_full(KEYS[2], tonumber(ARGV[12])) then
  return {'', 2, 0, ''}
end
local there = call('HGET', by_name, name)
if there and not subscription(there) then
  drop({there})
  there = nil
end
if not there and most > 0 and call('ZCOUNT', by_expiry, '(' .. now, '+inf') >= most then
  return {'', 3, 0, ''}
end
if is_missing then
  create(base, KEYS[2], ARGV[9], '{}')
end
local rank = last_rank()
if there then
  local confirmed, its_owner = select(5, subscription(there))
  if confirmed == 0 and its_owner == '' and ARGV[8] ~= '' then
    owe(there, 0, '', '', 'SubscriptionConfirmation', math.floor(now / 1000) + ARGV[8])
  end
  return {there, 0, confirmed, rank}
end
local ttl = tonumber(ARGV[4])
local expires = now + ttl * 1000
if call('EXISTS', about) == 0 then
  call('HSET', about, 'v', text(micros), 'rank', text(rank), 'bytes', 0, 'from', 0, 'gone', 0, 'lost', 0)
end
call('HSET', about, 'max', ARGV[10], 'age', ARGV[11] * 1000)
call('HSET', base, 'subs', 1)
if KEYS[3] then
  call('ZADD', KEYS[3], 0, name_of(base))
end
keep(id, name, ttl, now, expires, tonumber(ARGV[7]), owner, ARGV[5])
call('ZADD', by_id, 0, id)
call('ZADD', by_expiry, text(expires), id)
call('HSET', by_name, name, id)
if owner ~= '' then
  call('HSET', owners, id, owner)
else
  stand(id, text(rank))
  if ARGV[8] ~= '' then
    owe(id, 0, '', '', 'SubscriptionConfirmation', math.floor(now / 1000) + ARGV[8])
  end
end
return {id, 1, tonumber(ARGV[7]), rank}
