-- queue_update.lua: replace the metadata if they are still what the caller has seen.
-- KEYS: queue
-- ARGV: now, metadata seen, metadata, then names and values of the rules
-- Returns whether they were replaced: 1 or 0.
if call('HGET', base, 'md') ~= ARGV[2] then
  return 0
end
call('HDEL', base, 'ttl', 'size', 'delay', 'claims', 'dead', 'dead_ttl', 'enc', 'retry')
call('HSET', base, 'md', ARGV[3], unpack(ARGV, 4))
return 1
