-- quotas.lua: what a post is held to.
-- ARGV[6..8]: most queues of the project, most messages, most bytes of bodies (0: any number)
local POSTS = 9 -- where they begin

-- Takes the incarnation of the queue and how many bytes its bodies have, as far as these are known, and where in ARGV the
-- messages begin and end.
-- Returns how many bytes they have, where they are counted; or, of a post that may not be, which quota it would break, and
-- what post.lua answers: 4, or 5 to be called again.
local function admit(incarnation, bytes, from, last)
  local most_messages, most_bytes = tonumber(ARGV[7]), tonumber(ARGV[8])
  if not incarnation and ARGV[2] ~= '' and is_full(KEYS[2], tonumber(ARGV[6])) then
    return 1, 4
  end
  if most_messages > 0 and call('ZCOUNT', alive, '(' .. now, '+inf') + (last - from + 1) / 3 > most_messages then
    return 2, 4
  end
  bytes = bytes or most_bytes > 0 and call('EXISTS', alive) == 0 and 0
  if bytes and most_bytes > 0 then
    local added = 0
    for i = from + 2, last, 3 do
      added = added + size_of(ARGV[i])
    end
    if bytes + added > most_bytes then
      -- What has expired does not count, and may not have been cleared away yet.
      local _, unswept = settle(call('HGET', base, 'later'))
      bytes = call('HGET', base, 'bytes') or 0
      if bytes + added > most_bytes then
        return 3, unswept and 5 or 4
      end
    end
  end
  return bytes
end
