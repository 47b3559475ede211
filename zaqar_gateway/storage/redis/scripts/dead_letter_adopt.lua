-- dead_letter_adopt.lua: take in dead letters of another store, unless that was done.
-- KEYS: queue
-- ARGV: now, sent before, ms between two, most messages, most bytes, then of each letter: place, id, body, client, ttl (s),
--       created (ms)
-- Returns {0}, or {3}: there is no queue, or {4, which}: there would be more than the most (as in post.lua).
--
-- Places that letters came from are kept for an hour in `adopted` (zset, by when).
local adopted = base .. ':ba'
local sent, gap = tonumber(ARGV[2]), tonumber(ARGV[3])
settle(call('HGET', base, 'later'))
local target = open_target(base, {messages = tonumber(ARGV[4]), bytes = tonumber(ARGV[5])})
if not target.exists then
  return {3}
end
local letters = {}
for i = 6, #ARGV, 6 do
  if not call('ZSCORE', adopted, ARGV[i]) then
    local too_much = exceeds(target, ARGV[i + 2])
    if too_much then
      return {4, too_much}
    end
    letters[#letters + 1] = i
  end
end
for _, i in ipairs(letters) do
  local delay = math.floor((sent + (i - 6) / 6) * gap)
  arrive(target, ARGV[i + 1], ARGV[i + 3], ARGV[i + 2], tonumber(ARGV[i + 4]), ARGV[i + 5], delay)
  call('ZADD', adopted, now, ARGV[i])
end
if #letters > 0 then
  arrived(target)
  call('ZREMRANGEBYSCORE', adopted, '-inf', now - 3600000)
  call('EXPIRE', adopted, 7200)
end
return {0}
