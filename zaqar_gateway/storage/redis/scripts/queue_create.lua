-- queue_create.lua: create a queue; leave one that exists as it is.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, incarnation, metadata, then names and values of its rules
-- Returns whether it was created: 1 or 0.
if call('EXISTS', base) == 1 then
  return 0
end
create(base, KEYS[2], ARGV[2], ARGV[3])
if #ARGV > 3 then
  call('HSET', base, unpack(ARGV, 4))
end
return 1
