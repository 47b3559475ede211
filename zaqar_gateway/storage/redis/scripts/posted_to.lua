-- posted_to.lua: what is known of the queue that is posted to, for post_usual.lua and post.lua.
local INTEGER = '%d' -- a call of text() for each number is too much here
local known = call('HMGET', base, 'inc', 'rank', 'ttl', 'size', 'delay', 'enc', 'subs', 'bytes')
