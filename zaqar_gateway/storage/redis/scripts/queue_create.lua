-- queue_create.lua: create a queue; leave one that exists as it is.
-- KEYS: queue, catalog (as in post.lua)
-- ARGV: now, incarnation, metadata, most queues of the project (0: any number), then names and values of its rules
-- Returns whether it was created: 1 or 0; 2 where there are as many as there may be.
if call('EXISTS', base) == 1 then
  return 0
end
if is_full(KEYS[2], tonumber(ARGV[4])) then
  return 2
end
create(base, KEYS[2], ARGV[2], ARGV[3])
if #ARGV > 4 then
  call('HSET', base, unpack(ARGV, 5))
end
return 1
