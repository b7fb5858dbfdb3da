-- Returns the length of a queue by state. Our workers move a running id to the negative of its
-- score. arq's workers leave the id in place and set the in-progress key.
--
-- KEYS
--   1  name of the queue
-- Returns {waiting, scheduled, running}.
local queue = KEYS[1]
local MAX_CHECKED = 1000  -- due ids whose in-progress key is checked
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local running = redis.call('ZCOUNT', queue, '-inf', '(0')
local due = redis.call('ZCOUNT', queue, 0, now)
local scheduled = redis.call('ZCOUNT', queue, '(' .. now, '+inf')
local running_under_arq = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', queue, 0, now, 'LIMIT', 0, MAX_CHECKED)) do
    running_under_arq = running_under_arq + redis.call('EXISTS', IN_PROGRESS .. id)
end
return {due - running_under_arq, scheduled, running + running_under_arq}
