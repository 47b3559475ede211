-- pooling.lua: begins every script on pools, flavors and placements.
--
-- KEYS[1] is the beginning of the names of all their keys, which share its hash tag and so a slot.
--
--   :version          counts changes of pools
--   :pools            zset  names of pools
--   :pool.<name>      hash  uri, weight, options, flavor (where it has one)
--   :uris             hash  URI: name of its pool
--   :usage            hash  name of a pool: how many placements in it hold
--   :flavors.<p>      zset  names of the flavors of a project
--   :projects         hash  name of a flavor: how many projects have one of that name
--   :placed.<k>.<p>   hash  name of a queue or topic (k) of a project: state and pool; the state is p placed, b bound, which
--                           is placed for good, or l and k for the same where the queue was deleted; or m while it is made
--   :names.<k>.<p>    zset  the same names, for listing
--   :used.<k>.<p>     hash  pool: how many of these are in it
--   :kept.<pool>      set   <k>.<p>/<name> of placements in it that are in state b, l or k
--   :left             zset  <k>.<p>/<name> of placements in state l or m, by when they may be forgotten (ms)
local call, base = redis.call, KEYS[1]
call('EXISTS', base .. ':!') -- as in common.lua
local version, pools, uris, usage = base .. ':version', base .. ':pools', base .. ':uris', base .. ':usage'
local projects, left = base .. ':projects', base .. ':left'

local function pool_key(name)
  return base .. ':pool.' .. name
end

local function kept_key(name)
  return base .. ':kept.' .. name
end

local function pool_exists(name)
  return name == '' or call('EXISTS', pool_key(name)) == 1
end

-- Name, URI, weight, flavor ('': none), options.
local function show(name)
  local found = call('HMGET', pool_key(name), 'uri', 'weight', 'flavor', 'options')
  return {name, found[1], found[2], found[3] or '', found[4]}
end

local function of_flavor(flavor)
  local found = {}
  for _, name in ipairs(call('ZRANGE', pools, 0, -1)) do
    if call('HGET', pool_key(name), 'flavor') == flavor then
      found[#found + 1] = name
    end
  end
  return found
end

local function count(key, field, change)
  if call('HINCRBY', key, field, change) <= 0 then
    call('HDEL', key, field)
  end
end

-- The placement of one queue or topic; `where` is <k>.<p>.
local function placement(where, name)
  local placed, names, used = base .. ':placed.' .. where, base .. ':names.' .. where, base .. ':used.' .. where
  local member = where .. '/' .. name
  local found = call('HGET', placed, name)
  local self = {state = found and found:sub(1, 1), pool = found and found:sub(2)}

  local function holds()
    return self.state == 'p' or self.state == 'b' or self.state == 'm'
  end

  function self.set(state, pool)
    if holds() then
      count(usage, self.pool, -1)
    end
    if not self.state then
      call('ZADD', names, 0, name)
      count(used, pool, 1)
    end
    self.state, self.pool = state, pool
    if holds() then
      count(usage, pool, 1)
      call('ZREM', left, member)
    end
    call((state == 'p' or state == 'm') and 'SREM' or 'SADD', kept_key(pool), member)
    call('HSET', placed, name, state .. pool)
  end

  function self.forget()
    if holds() then
      count(usage, self.pool, -1)
    end
    call('HDEL', placed, name)
    call('ZREM', names, name)
    call('ZREM', left, member)
    call('SREM', kept_key(self.pool), member)
    count(used, self.pool, -1)
    self.state, self.pool = nil, nil
  end

  -- The pool that it is in, or else another; nothing where that does not exist.
  function self.pool_or(other)
    if self.state and not pool_exists(self.pool) then
      self.forget() -- it was left, or it would have kept its pool
    end
    local pool = self.pool or other
    return pool_exists(pool) and pool
  end

  -- May be forgotten from an instant on (ms).
  local function wait(state, pool, at)
    self.set(state, pool)
    call('ZADD', left, string.format('%.0f', at), member)
  end

  function self.prepare(pool, at)
    if not self.state or self.state == 'l' or self.state == 'm' then
      wait('m', pool, at)
    end
  end

  function self.leave(at)
    call('ZREM', left, member) -- first what needs no memory, so that all of it works when Redis has none left
    if self.state == 'b' then
      self.set('k', self.pool)
    elseif self.state and self.state ~= 'k' then
      wait(self.state == 'm' and 'm' or 'l', self.pool, at) -- what is made goes on being made
    end
  end

  -- When it may be forgotten (ms), where it was left or is being made.
  function self.left_at()
    return (self.state == 'l' or self.state == 'm') and call('ZSCORE', left, member)
  end
  return self
end

local function milliseconds(given)
  local now = tonumber(given)
  if not now then
    local time = call('TIME')
    now = time[1] * 1000 + math.floor(time[2] / 1000)
  end
  return now
end
