-- resend.lua: owe again what was given up.
-- KEYS: queue
-- ARGV: now, limit, whether those of some ids ('1') or the oldest ('0'), ranks
-- Returns how many are owed again: as many as the log has room for, lest it lose others, or these.
drop_expired()
forget_old()
log_settle()
local limit, sent, is_full = tonumber(ARGV[2]), 0, false

local function send(one)
  local entry, told = one[2], log.begun()
  local is_live = subscription(entry[2])
  local used = is_live and told.bytes - told.from or 0
  is_full = is_full or used > 0 and used + #entry[12] + ENTRY > told.max
  if sent < limit and not is_full and call('XDEL', failed, one[1]) == 1 and is_live then
    owe(entry[2], entry[10], entry[12], entry[14], entry[16], entry[18])
    sent = sent + 1
  end
end

if ARGV[3] == '1' then
  local found = {}
  for i = 4, #ARGV do
    found[#found + 1] = call('XRANGE', failed, ARGV[i], ARGV[i])[1]
  end
  table.sort(found, function(a, b) return tonumber(a[1]:sub(1, -3)) < tonumber(b[1]:sub(1, -3)) end)
  for _, one in ipairs(found) do
    send(one)
  end
else
  while sent < limit and not is_full do
    local oldest = call('XRANGE', failed, '-', '+', 'COUNT', 100)
    for _, one in ipairs(oldest) do
      send(one)
    end
    if #oldest < 100 then
      break
    end
  end
end
if call('XLEN', failed) == 0 then
  call('UNLINK', failed)
end
return sent
