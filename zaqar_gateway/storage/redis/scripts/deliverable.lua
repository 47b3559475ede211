-- deliverable.lua: the oldest deliverable messages, for claim and pop.

-- Visits deliverable messages, oldest first, until `visit` has accepted `limit` of them.  It never walks over what is
-- claimed or delayed: those are neither in `free` nor after `head`.  Expired ones that nobody has swept yet are passed
-- once and for all, so many in one call.  A visited message is in no set of free ones afterwards.
-- Who visits need not know when a message expires as long as that is not before `horizon` (ms), and is told at least that.
-- Returns the number accepted, whether to call again because there was too much to pass, and where `head` is now.  The
-- caller writes it down, unless it removes what it has passed: a pop has to work when Redis has no memory left.
local function each_deliverable(head, has_later, limit, horizon, visit)
  local accepted, passes, moved = 0, 0, head
  -- Of two messages that are posted with the same ttl the later one expires later; this is what an entry begins with whose message
  -- does not expire before the horizon, and its ttl.
  local long, long_ttl = nil, nil

  local function offer(rank, entry, packed)
    passes = passes + 1
    local expires, ttl, count = horizon, long_ttl, 0
    if packed or entry[3] or entry[1] ~= long then
      expires, ttl, count = judge(rank, entry, packed)
      long = not packed and not entry[3] and expires >= horizon and entry[1] or nil
      long_ttl = ttl
    end
    if expires > now and visit(rank, entry, packed, expires, ttl, count) then
      accepted = accepted + 1
    end
  end

  while accepted < limit do
    if passes >= SLICE then
      return accepted, true, moved
    end
    local want = limit - accepted
    if passes > 0 then
      want = math.max(want, 100)
    end
    local old = call('ZRANGE', free, 0, want - 1)
    local new = call('XRANGE', main, '(' .. moved, '+', 'COUNT', want)
    if #old == 0 and #new == 0 then
      break
    end
    if #old == 0 then
      for _, one in ipairs(new) do
        moved = one[1]:sub(1, -3)
        offer(moved, one[2], nil)
        if accepted == limit then
          break
        end
      end
    else
      local states = call('HMGET', state, unpack(old))
      local i, j, used = 1, 1, {}
      -- What follows a full batch may come before the rest of the other one.
      local function known_order()
        return (old[i] or #old < want) and (new[j] or #new < want)
      end
      while accepted < limit and (old[i] or new[j]) and known_order() do
        local rank, fresh = old[i], new[j] and new[j][1]:sub(1, -3)
        if rank and (not fresh or is_before(rank, fresh)) then
          used[#used + 1] = rank
          local entry = fetch(rank, has_later)
          if entry then
            offer(rank, entry, states[i])
          else
            passes = passes + 1
          end
          i = i + 1
        else
          moved = fresh
          offer(fresh, new[j][2], nil)
          j = j + 1
        end
      end
      if #used > 0 then
        call('ZREM', free, unpack(used))
      end
    end
  end
  return accepted, false, moved
end
