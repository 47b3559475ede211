-- queue_delete.lua: remove a queue and all that is in it.  UNLINK gives the memory back outside of this step.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, name
local last = last_of_all()
call('UNLINK', base, main, later, alive, free, held, delayed, state, claims, left, runs, alias, dead, bodies, base .. ':k', base .. ':kn')
if last > 0 then -- after the UNLINK, so that it works when Redis has no memory left
  call('SET', base .. ':g', cmsgpack.pack(text(last), now + PAST_KEPT), 'PX', PAST_KEPT)
end
if KEYS[2] then
  call('ZREM', KEYS[2], ARGV[2])
end
return 0
