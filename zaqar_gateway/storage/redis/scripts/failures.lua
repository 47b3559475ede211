-- failures.lua: deliveries that were given up.
--
--   failed  stream  s subscription, n subscriber, a attempts, r reason, and of what was owed: t ttl (s), b body, d delay, k kind
--                   of a notice, u until when it may be answered
local failed = base .. ':x'
local FAILED_MAX, FAILED_AGE = 10000, 14 * 86400 * 1000

local function forget_old()
  call('XTRIM', failed, 'MINID', '=', text(math.max(0, now - FAILED_AGE + 1) * 1000))
end

-- The greatest rank that `failed` has had, though it be gone.
local function last_given_up()
  local known = call('EXISTS', failed) == 1 and call('XINFO', 'STREAM', failed) or {}
  for i = 1, #known, 2 do
    if known[i] == 'last-generated-id' then
      return known[i + 1]:match('^%d+')
    end
  end
end

-- Keeps what is given up, unless the log has lost it: then it could not be sent again.
local function fail(id, name, rank, attempts, reason)
  local entry = call('XRANGE', posts, rank, rank)[1]
  local was = {d = '', k = '', u = '0'}
  for i = 1, entry and #entry[2] or 0, 2 do
    was[entry[2][i]] = entry[2][i + 1]
  end
  if not was.t or was.o and was.o ~= id then
    return
  end
  call('XADD', failed, 'MAXLEN', '=', FAILED_MAX, text(next_rank(last_given_up())), 's', id, 'n', name,
    'a', attempts, 'r', reason, 't', was.t, 'b', was.b, 'd', was.d, 'k', was.k, 'u', was.u)
  forget_old()
  call('PEXPIRE', failed, FAILED_AGE)
end
