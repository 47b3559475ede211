-- subscription_purge.lua: end all subscriptions of a queue.
-- KEYS: queue
-- ARGV: now
call('UNLINK', subs, by_id, by_expiry, by_name, owners, cursors, ready, waiting, leases)
unfollow()
ring(base .. ':changed')
return 0
