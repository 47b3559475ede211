-- resend.lua: owe again what was given up.
-- KEYS: queue
-- ARGV: now, limit, whether those of some ids ('1') or the oldest ('0'), ranks
-- Returns how many are owed again.
drop_expired()
forget_old()
local limit, sent = tonumber(ARGV[2]), 0

local function send(one)
  local entry = one[2]
  if sent < limit and call('XDEL', failed, one[1]) == 1 and subscription(entry[2]) then
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
  while sent < limit do
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
