-- subscription_confirm.lua: set whether a subscription is confirmed.
-- KEYS: queue
-- ARGV: now, id, confirmed ('1' or '0'), whether only confirmed ones are delivered to ('1' or '0'), seconds for which a notice
--       may be answered ('': none is owed)
-- Returns whether there is a live one: 1 or 0.
local id, confirmed = ARGV[2], tonumber(ARGV[3])
local name, ttl, created, expires, before, owner, options = subscription(id)
if not name then
  return 0
end
if before ~= confirmed then
  keep(id, name, ttl, created, expires, confirmed, owner, options)
  changed()
  if confirmed == 1 and ARGV[4] == '1' and owner == '' then
    keep_lease(id, lease_of(id), 0, 0, '0')
    stand(id, text(last_rank()))
  end
end
if confirmed == 0 and ARGV[5] ~= '' and owner == '' then
  owe(id, 0, '', '', 'UnsubscribeConfirmation', math.floor(now / 1000) + ARGV[5])
end
return 1
