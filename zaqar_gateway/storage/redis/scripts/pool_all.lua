-- pool_all.lua: all pools, by name, as show() gives them.
-- KEYS: pooling
local out = {}
for _, name in ipairs(call('ZRANGE', pools, 0, -1)) do
  out[#out + 1] = show(name)
end
return out
