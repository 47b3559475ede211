-- pool_put.lua: add a pool, or change one.
-- KEYS: pooling
-- ARGV: name, whether one is changed ('1') or added in the place of the one that there is (''), then names and values of
--       what is known of it
-- Returns {1, as show() gives it}, {0} where there is none to change, or {2} where another one has its URI.
local name, changes = ARGV[1], ARGV[2] == '1'
local key = pool_key(name)
if changes and call('EXISTS', key) == 0 then
  return {0}
end
local given = {}
for i = 3, #ARGV, 2 do
  given[ARGV[i]] = ARGV[i + 1]
end
local before = call('HGET', key, 'uri')
if given.uri and given.uri ~= before then
  if call('HEXISTS', uris, given.uri) == 1 then
    return {2}
  end
  if before then
    call('HDEL', uris, before)
  end
  call('HSET', uris, given.uri, name)
end
if not changes then
  call('DEL', key)
end
if given.flavor == '' then
  call('HDEL', key, 'flavor')
  given.flavor = nil
end
for field, value in pairs(given) do
  call('HSET', key, field, value)
end
call('ZADD', pools, 0, name)
call('INCR', version)
return {1, show(name)}
