-- subscription_update.lua: change a subscription.
-- KEYS: queue
-- ARGV: now, id, subscriber, ttl (s), options (each '' where it stays), seconds for which a notice may be answered ('': none
--       is owed)
-- Returns 1, 0 where there is no live one, or 2 where another one has the subscriber.
drop_expired()
local id = ARGV[2]
local name, ttl, created, expires, confirmed, owner, options = subscription(id)
if not name then
  return 0
end
local moves = ARGV[3] ~= '' and ARGV[3] ~= name
if moves then
  if call('HEXISTS', by_name, ARGV[3]) == 1 then
    return 2
  end
  call('HDEL', by_name, name)
  call('HSET', by_name, ARGV[3], id)
  name, confirmed = ARGV[3], 0
end
if ARGV[4] ~= '' then
  ttl = tonumber(ARGV[4])
  expires = now + ttl * 1000
  call('ZADD', by_expiry, text(expires), id)
end
if ARGV[5] ~= '' then
  options = ARGV[5]
end
keep(id, name, ttl, created, expires, confirmed, owner, options)
changed()
if moves and owner == '' then
  keep_lease(id, lease_of(id), 0, 0, '0')
  stand(id, call('ZSCORE', cursors, id))
  if ARGV[6] ~= '' then
    owe(id, 0, '', '', 'SubscriptionConfirmation', math.floor(now / 1000) + ARGV[6])
  else
    log.ring()
  end
end
return 1
