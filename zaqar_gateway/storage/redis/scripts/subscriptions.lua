-- subscriptions.lua: the subscriptions of a queue.
--
--   subs      hash  id: subscriber, ttl (s), created (ms), expiry (ms), confirmed (1 or 0), owner, options
--   by_id     zset  ids, for listing
--   by_expiry zset  id by expiry (ms)
--   by_name   hash  subscriber: id
--   owners    hash  id: owner, of those that belong to a socket; all others are in the four below
--   cursors   zset  id by the rank of the last post that it is done with
--   ready     zset  the same, of those to which nobody delivers
--   waiting   zset  id by when its lease ends or its wait is over (ms)
--   leases    hash  id: token of the last lease, attempts, whether the token still counts (1 or 0), the rank of the post
--                   that was attempted
local log = open_log()
local posts, about = log.posts, log.about
local subs, by_id, by_expiry, by_name = base .. ':u', base .. ':ui', base .. ':ue', base .. ':us'
local owners, cursors, ready = base .. ':uo', base .. ':uc', base .. ':ur'
local waiting, leases = base .. ':uw', base .. ':ut'

local function changed()
  call('HINCRBY', about, 'v', 1)
end

-- There are none any more: nothing is left of the log, nor in `followed` of the project (subscription_create.lua).
local function unfollow()
  call('UNLINK', posts, about)
  call('HDEL', base, 'subs')
  call('ZREM', base:match('^(.*)/') .. (is_in_cluster and '' or '}') .. ':followed', name_of(base))
end

-- Ends subscriptions.
local function drop(ids)
  for _, id in ipairs(ids) do
    local packed = call('HGET', subs, id)
    local name = packed and cmsgpack.unpack(packed)
    if name and call('HGET', by_name, name) == id then
      call('HDEL', by_name, name)
    end
  end
  each_slice(ids, function(...)
    call('HDEL', subs, ...)
    call('ZREM', by_id, ...)
    call('ZREM', by_expiry, ...)
    call('HDEL', owners, ...)
    call('ZREM', cursors, ...)
    call('ZREM', ready, ...)
    call('ZREM', waiting, ...)
    call('HDEL', leases, ...)
  end)
  if call('EXISTS', by_id) == 1 then
    changed()
  else
    unfollow()
  end
end

-- Ends those whose time is over, a slice of them.
local function drop_expired()
  local over = call('ZRANGE', by_expiry, '-inf', now, 'BYSCORE', 'LIMIT', 0, SLICE)
  if #over > 0 then
    drop(over)
  end
end

-- Subscriber, ttl (s), created (ms), expiry (ms), confirmed (1 or 0), owner, options; nothing where there is no live one.
local function subscription(id)
  local packed = call('HGET', subs, id)
  if packed then
    local name, ttl, created, expires, confirmed, owner, options = cmsgpack.unpack(packed)
    if expires > now then
      return name, ttl, created, expires, confirmed, owner, options
    end
  end
end

local function keep(id, name, ttl, created, expires, confirmed, owner, options)
  call('HSET', subs, id, cmsgpack.pack(name, ttl, created, expires, confirmed, owner, options))
end

-- What a client is shown of a subscription: seven values.
local function show(out, id, name, ttl, created, confirmed, owner, options)
  local n = #out
  out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, name, ttl, created
  out[n + 5], out[n + 6], out[n + 7] = confirmed, owner, options
end

-- The last rank that was given out here, by posts or by the log.
local function last_rank()
  return math.max(tonumber(call('HGET', base, 'rank')) or 0, tonumber(call('HGET', about, 'rank')) or 0)
end

-- Sets where a subscription stands, with nobody delivering to it.
local function stand(id, rank)
  call('ZADD', cursors, rank, id)
  call('ZADD', ready, rank, id)
  call('ZREM', waiting, id)
end

-- The token of the last lease, attempts, whether the token still counts, the rank of what was attempted.
local function lease_of(id)
  local packed = call('HGET', leases, id)
  if packed then
    return cmsgpack.unpack(packed)
  end
  return 0, 0, 0, '0'
end

local function keep_lease(id, token, attempts, counts, first)
  call('HSET', leases, id, cmsgpack.pack(token, attempts, counts, first))
end

-- Whether somebody has a lease on a subscription.
local function is_leased(id)
  local _, _, counts = lease_of(id)
  local due = call('ZSCORE', waiting, id)
  return counts == 1 and due and tonumber(due) > now
end
