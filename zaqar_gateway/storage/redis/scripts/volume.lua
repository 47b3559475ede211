-- volume.lua: how many messages a queue has; nothing is written, so that it can be told while nothing can be.
-- KEYS: queue
-- ARGV: now
-- Returns {total, claimed}.  Where more than SLICE claims have lapsed and nobody touched the queue since, what is in further runs of them
-- may still be among the claimed.
local live = '(' .. now
local total, claimed = call('ZCOUNT', alive, live, '+inf'), call('ZCOUNT', held, live, '+inf')
local in_runs = tonumber(call('HGET', base, 'in_runs')) or 0
if in_runs > 0 then
  for _, rank in ipairs(call('ZRANGE', held, '-inf', now, 'BYSCORE', 'LIMIT', 0, SLICE)) do
    if call('ZSCORE', runs, rank) then
      in_runs = in_runs - #select(6, cmsgpack.unpack(call('HGET', state, rank))) + 1
    end
  end
end
return {total, math.min(total, claimed + in_runs)}
