-- usage.lua: how much a queue holds.
-- KEYS: queue
-- ARGV: now
-- Returns {messages, bytes of their bodies}; bytes are 0 where they are not counted.
settle(call('HGET', base, 'later'))
return {call('ZCOUNT', alive, '(' .. now, '+inf'), tonumber(call('HGET', base, 'bytes')) or 0}
