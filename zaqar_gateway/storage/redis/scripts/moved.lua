-- moved.lua: what queues keep of messages that are moved into them.

-- Notes the id of a message by its rank in the queue that it was moved to.  An id that is gone stays a marker for an hour, and
-- for as long as older messages are there.
local function remember(target, id, rank)
  local ids, bound = target .. ':i', micros - 3600000000
  call('ZADD', ids, rank, id)
  for _, stream in ipairs({':m', ':l'}) do
    local first = call('XRANGE', target .. stream, '-', '+', 'COUNT', 1)[1]
    bound = first and math.min(bound, tonumber(first[1]:sub(1, -3))) or bound
  end
  local gone = call('ZRANGE', ids, '-inf', '(' .. text(bound), 'BYSCORE', 'LIMIT', 0, 100)
  if #gone > 0 then
    call('ZREM', ids, unpack(gone))
  end
end
