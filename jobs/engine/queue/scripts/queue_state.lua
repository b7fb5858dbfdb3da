-- How long a queue is: what is due, what is for later, what runs. Ours move a running id to the
-- negative of its score; a stock worker leaves it in its place and sets the in-progress key.
--
-- KEYS  queue
-- returns {waiting, scheduled, running}
local MOST = 1000
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local ours = redis.call('ZCOUNT', KEYS[1], '-inf', '(0')
local due = redis.call('ZCOUNT', KEYS[1], 0, now)
local scheduled = redis.call('ZCOUNT', KEYS[1], '(' .. now, '+inf')
local theirs = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], 0, now, 'LIMIT', 0, MOST)) do
    theirs = theirs + redis.call('EXISTS', IN_PROGRESS .. id)
end
return {due - theirs, scheduled, ours + theirs}
