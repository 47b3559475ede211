-- due.lua: when messages become deliverable by themselves.
-- KEYS: queue
-- ARGV: now
-- Returns after how many ms, or -1 where none will.
local soonest
for _, key in ipairs({held, delayed}) do
  local at = tonumber(call('ZRANGE', key, 0, 0, 'WITHSCORES')[2])
  if at and (not soonest or at < soonest) then
    soonest = at
  end
end
return soonest and math.max(0, soonest - now) or -1
