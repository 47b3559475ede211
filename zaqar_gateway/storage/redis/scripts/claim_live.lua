-- claim_live.lua: which of some claims are live.
-- KEYS: queue
-- ARGV: now, ids
-- Returns the positions (from 0) of those that are.
local out = {}
for i, packed in ipairs(call('HMGET', claims, unpack(ARGV, 2))) do
  if packed then
    local _, lapses = cmsgpack.unpack(packed)
    if lapses > now then
      out[#out + 1] = i - 1
    end
  end
end
return out
