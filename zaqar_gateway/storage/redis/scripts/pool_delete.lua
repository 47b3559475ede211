-- pool_delete.lua: remove a pool that nothing needs.
-- KEYS: pooling
-- ARGV: name
-- Returns {0}, or what needs it: {1, a flavor} or {2, how many placements}.
local name = ARGV[1]
local key = pool_key(name)
if call('EXISTS', key) == 0 then
  return {0}
end
local known = call('HMGET', key, 'uri', 'flavor')
if known[2] and call('HEXISTS', projects, known[2]) == 1 and #of_flavor(known[2]) == 1 then
  return {1, known[2]}
end
local number = tonumber(call('HGET', usage, name)) or 0
if number > 0 then
  return {2, number}
end
call('DEL', key, kept_key(name))
call('HDEL', uris, known[1])
call('ZREM', pools, name)
call('INCR', version)
return {0}
