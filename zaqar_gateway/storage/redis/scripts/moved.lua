-- moved.lua: what queues keep of messages that are moved into them.

-- Forgets some ids of what was moved to a queue.  One whose message is gone stays a marker for an hour, and for as long as older
-- messages are there.  Returns whether there may be more to forget.
local function forget_some(target)
  local ids, bound = target .. ':i', micros - 3600000000
  for _, stream in ipairs({':m', ':l'}) do
    local first = call('XRANGE', target .. stream, '-', '+', 'COUNT', 1)[1]
    bound = first and math.min(bound, tonumber(first[1]:sub(1, -3))) or bound
  end
  local gone = call('ZRANGE', ids, '-inf', '(' .. text(bound), 'BYSCORE', 'LIMIT', 0, 100)
  if #gone > 0 then
    call('ZREM', ids, unpack(gone))
  end
  return #gone == 100
end

-- Notes the id of a message by its rank in the queue that it was moved to.
local function remember(target, id, rank)
  call('ZADD', target .. ':i', rank, id)
  forget_some(target)
end
