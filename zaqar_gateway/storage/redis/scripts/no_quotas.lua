-- no_quotas.lua: in the place of quotas.lua where there are none, which saves a post a tenth of its time.
local POSTS = 6

local function admit(_, bytes)
  return bytes
end
