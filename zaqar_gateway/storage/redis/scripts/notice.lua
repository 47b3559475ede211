-- notice.lua: owing something to one subscription alone.

-- Appends an entry for one subscription.
local function owe(id, ttl, body, delay, kind, until_s)
  local told, rank = log.begun(), text(next_rank(last_rank()))
  local entry = {'t', ttl, 'b', body, 's', text(told.bytes), 'o', id, 'k', kind, 'u', until_s}
  if delay ~= '' then
    entry[#entry + 1], entry[#entry + 2] = 'd', delay
  end
  call('XADD', posts, rank, unpack(entry))
  told.bytes = told.bytes + #body + ENTRY
  if call('EXISTS', base) == 1 then
    call('HSET', base, 'rank', rank)
  end
  log.ended(told, rank)
end
