-- durable_attach.lua: hold a durable name, and make it where there is none.
-- KEYS: queue
-- ARGV: now, name, owner, marker of a new one, ttl (s), hold (ms), the most names that the queue may have
-- Returns {whether it is new: 1 or 0, marker, ids of what is pending}, or {2, ''}: there are as many names as there may be.
local name, most = ARGV[2], tonumber(ARGV[7])
local held, ttl = now + ARGV[6], ARGV[5] * 1000
local marker, owner, _, _, count = durable(name)
if marker then
  keep(name, marker, ARGV[3], held, ttl, count, 0)
  tell(owner)
  local out = {0, marker}
  for _, id in ipairs(call('ZRANGE', pending_of(name), 0, -1)) do
    out[#out + 1] = id
  end
  return out
end
forget(name)
if call('HLEN', names) >= most then
  forget_expired()
  if call('HLEN', names) >= most then
    return {2, ''}
  end
end
keep(name, ARGV[4], ARGV[3], held, ttl, 0, 0)
return {1, ARGV[4]}
