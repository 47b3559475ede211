-- queue_purge.lua: remove all messages and claims of a queue; ranks go on where they were.
-- KEYS: queue
-- ARGV: now
call('UNLINK', main, later, alive, free, held, delayed, state, claims, left, alias)
call('HDEL', base, 'head', 'later', 'moved', 'bytes')
return 0
