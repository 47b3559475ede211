-- durables.lua: the durable names of a queue.
--
--   names    hash  name: marker, owner ('': nobody holds it), until when it is held or when it was let go (ms), ttl (ms),
--                  how many messages were given to it, the number of the last step of its owner
--   pending  zset  of each name, in a key of its own: ids of what was given to it and is not done, by their number
--
-- Redis drops the keys an hour after the last name in them has expired; until then it is judged by its own time.
local names = base .. ':y'
local SPARE = 3600000

local function pending_of(name)
  return names .. ':' .. name
end

-- Marker, owner, until when it is held, ttl, how many were given, the last step; nothing where there is none that is not over.
local function durable(name)
  local packed = call('HGET', names, name)
  if packed then
    local marker, owner, held, ttl, count, step = cmsgpack.unpack(packed)
    if held + ttl > now then
      return marker, owner, held, ttl, count, step or 0  -- the first version has none
    end
  end
end

local function keep(name, marker, owner, held, ttl, count, step)
  call('HSET', names, name, cmsgpack.pack(marker, owner, held, ttl, count, step))
  local left = held + ttl - now + SPARE
  call('PEXPIRE', pending_of(name), text(left))
  if call('PTTL', names) < left then
    call('PEXPIRE', names, text(left))
  end
end

local function forget(name)
  call('HDEL', names, name)
  call('UNLINK', pending_of(name))
end

local function forget_expired()
  for _, name in ipairs(call('HKEYS', names)) do
    if not durable(name) then
      forget(name)
    end
  end
end

-- Holds a name on; ttl, count and the last step where the owner holds it, else nothing.
local function held_by(name, owner, hold)
  local marker, holder, _, ttl, count, step = durable(name)
  if marker and holder == owner then
    keep(name, marker, owner, now + hold, ttl, count, step)
    return ttl, count, step
  end
end

-- Has whoever holds a name look whether they still do.
local function tell(owner)
  if owner ~= '' then
    ring(base .. ':changed')
  end
end
