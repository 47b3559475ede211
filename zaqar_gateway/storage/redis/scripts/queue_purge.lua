-- queue_purge.lua: remove all messages and claims of a queue; ranks go on where they were, and so does `head`.
-- KEYS: queue
-- ARGV: now
local last = last_of_all()
call('UNLINK', main, later, alive, free, held, delayed, state, claims, left, runs, alias, dead, bodies)
call('HDEL', base, 'later', 'moved', 'bytes', 'dead_letters', 'apart', 'in_runs', 'pieces')
if last > 0 then
  call('HSET', base, 'cut', text(last))
end
return 0
