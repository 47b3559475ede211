-- volume.lua: how many messages a queue has.
-- KEYS: queue
-- ARGV: now
-- Returns {total, claimed}.
if call('EXISTS', runs) == 1 then
  settle(call('HGET', base, 'later'))
end
return {call('ZCOUNT', alive, '(' .. now, '+inf'), claimed_count()}
