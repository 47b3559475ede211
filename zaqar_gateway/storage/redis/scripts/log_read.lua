-- log_read.lua: a page of the log, for the readers of sockets.
-- KEYS: queue
-- ARGV: now, cursor (rank), most posts
-- Returns {version, whether there is a gap, the cursor from which to go on, whether there may be more, what tell() gives...}.
drop_expired()
log_settle()
local known = call('HMGET', about, 'v', 'gone')
if not known[1] then
  return {0, 0, ARGV[2], 0}
end
local out = {tonumber(known[1]), tonumber(ARGV[2]) < tonumber(known[2]) and 1 or 0, ARGV[2], 0}
local _, last, more = tell(out, ARGV[2], tonumber(ARGV[3]), function(only) return not only end)
out[3], out[4] = last or text(math.max(tonumber(ARGV[2]), tonumber(known[2]))), more and 1 or 0
return out
