-- durable_list.lua: the durable names of a queue.
-- KEYS: queue
-- ARGV: now
-- Returns of each, in any order: name, marker, how many are pending, whether it is held (1 or 0), how long it is kept (ms).
forget_expired()
local out = {}
for _, name in ipairs(call('HKEYS', names)) do
  local marker, owner, held, ttl = durable(name)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = name, marker, call('ZCARD', pending_of(name))
  out[n + 4], out[n + 5] = owner ~= '' and held > now and 1 or 0, held + ttl - now
end
return out
