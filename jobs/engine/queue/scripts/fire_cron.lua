-- Fires one slot of a schedule, if nobody has: the last fired slot is remembered, and an id that a
-- stock worker has enqueued, is running or has run is not enqueued again.
--
-- KEYS  schedule, queue, the schedule's slots that ran
-- ARGV  slot in ms, job id, payload, payload's time to live in ms,
--       least real time in ms between two firings,
--       for how many ms from now slots may be fired ('': they go by a clock of their own)
-- returns {1 if it was enqueued, last fired slot in ms, now}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local known = redis.call('HMGET', KEYS[1], 'slot', 'at')
local last, at = tonumber(known[1] or 0), tonumber(known[2] or 0)
local slot, latest = tonumber(ARGV[1]), now + (tonumber(ARGV[6]) or math.huge)
if last > latest then last = 0 end
local stamp = string.format('%.0f', now)
if slot <= last or slot > latest or now - at < tonumber(ARGV[5]) then
    return {0, string.format('%.0f', last), stamp}
end
redis.call('HSET', KEYS[1], 'slot', ARGV[1], 'at', stamp)
local id, ran = ARGV[2], redis.call('ZSCORE', KEYS[3], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', ARGV[1])
if ran or redis.call('EXISTS', JOB .. id, RESULT .. id, IN_PROGRESS .. id) > 0 then
    return {0, ARGV[1], stamp}
end
redis.call('SET', JOB .. id, ARGV[3], 'PX', ARGV[4])
redis.call('ZADD', KEYS[2], stamp, id)
return {1, ARGV[1], stamp}
