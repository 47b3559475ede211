-- queue_list.lua: a page of the queues of a project.
-- KEYS: catalog (zset: names)
-- ARGV: marker, limit, what stands before and behind a name in the key of a queue
-- Returns {name, metadata, ...}.
local out = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], '(' .. ARGV[1], '+', 'BYLEX', 'LIMIT', 0, ARGV[2])) do
  local metadata = redis.call('HGET', ARGV[3] .. name .. ARGV[4], 'md')
  if metadata then
    out[#out + 1], out[#out + 2] = name, metadata
  end
end
return out
