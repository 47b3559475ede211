-- durable_renew.lua: durable names are still held.
-- KEYS: queue
-- ARGV: now, hold (ms), then of each: name, owner
-- Returns the positions (from 0) of those that are held by their owners.
local out = {}
for i = 3, #ARGV, 2 do
  if held_by(ARGV[i], ARGV[i + 1], ARGV[2]) then
    out[#out + 1] = (i - 3) / 2
  end
end
return out
