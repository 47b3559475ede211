-- draw.lua: take tokens out of the buckets of a project.
-- KEYS: buckets (hash: at, the instant (ms) that they were looked at last; tokens by number)
-- ARGV: now, then of each bucket: tokens per second, most, owed, wanted, enough (model.py says what they mean)
-- Returns of each: how many were granted, after how many ms there are enough.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local since = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
-- Where the clock was set back they fill from now on, and not when it has come as far again.
local out, kept, full_in = {}, {'at', string.format('%.0f', now)}, 0
for number = 1, (#ARGV - 1) / 5 do
  local rate, most, owed, wanted, enough = unpack(ARGV, number * 5 - 3, number * 5 + 1)
  local tokens = tonumber(redis.call('HGET', KEYS[1], number) or most)
  tokens = math.min(most, tokens + math.max(0, now - since) / 1000 * rate)
  tokens = math.min(most, tokens - owed)
  local granted = math.max(0, math.min(wanted, math.floor(tokens)))
  tokens = tokens - granted
  out[#out + 1] = granted
  out[#out + 1] = granted < tonumber(wanted) and math.max(1, math.ceil((enough - tokens) / rate * 1000)) or 0
  kept[#kept + 1], kept[#kept + 2] = number, string.format('%.6f', tokens)
  full_in = math.max(full_in, (most - tokens) / rate)
end
redis.call('HSET', KEYS[1], unpack(kept))
-- Full buckets are those that are not there.
redis.call('PEXPIRE', KEYS[1], math.ceil(full_in * 1000) + 1000)
return out
