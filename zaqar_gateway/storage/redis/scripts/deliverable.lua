-- deliverable.lua: the oldest deliverable messages, for claim and pop.

-- Visits deliverable messages, oldest first, until `visit` has accepted `limit` of them.  It never walks over what is
-- claimed or delayed: those are neither in `free` nor after `head`.  Expired ones that nobody has swept yet are passed
-- once and for all, so many in one call.  A visited message is in no set of free ones afterwards.
-- Who visits need not know when a message expires as long as that is not before `horizon` (ms), and is told at least that.
-- Returns the number accepted, whether to call again because there was too much to pass, and where `head` is now.  The
-- caller writes it down, unless it removes what it has passed: a pop has to work when Redis has no memory left.
local function each_deliverable(head, has_later, limit, horizon, visit)
  local accepted, passes, moved = 0, 0, head
  -- Of two messages that are posted with the same ttl the later one expires later.
  local long_ttl = nil
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
    local has_old = #old > 0
    local states = has_old and call('HMGET', state, unpack(old))
    local i, j, used = 1, 1, {}
    -- What follows a full batch may come before the rest of the other one.
    local function known_order()
      return (old[i] or #old < want) and (new[j] or #new < want)
    end
    while accepted < limit and (old[i] or new[j]) and (not has_old or known_order()) do
      local rank, entry, packed = old[i], nil, nil
      local fresh = new[j] and new[j][1]:sub(1, -3)
      if rank and (not fresh or is_before(rank, fresh)) then
        entry, packed, i = fetch(rank, has_later), states[i], i + 1
        used[#used + 1] = rank
      else
        rank, entry, j = fresh, new[j][2], j + 1
        moved = rank
      end
      passes = passes + 1
      if entry then
        local expires, ttl, count = horizon, long_ttl, 0
        if packed or entry[7] or entry[2] ~= long_ttl then
          expires, ttl, count = judge(rank, entry, packed)
          long_ttl = not packed and not entry[7] and expires >= horizon and entry[2] or nil
        end
        if expires > now and visit(rank, entry, packed, expires, ttl, count) then
          accepted = accepted + 1
        end
      end
    end
    if #used > 0 then
      call('ZREM', free, unpack(used))
    end
  end
  return accepted, false, moved
end
