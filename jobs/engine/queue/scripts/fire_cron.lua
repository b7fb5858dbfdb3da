-- Fires a schedule once per fire time: the last fire time is remembered, and an id that an arq
-- worker has enqueued, is running or has run is not enqueued again.
--
-- KEYS
--   1  schedule
--   2  name of the queue
--   3  fire times of the schedule that ran
-- ARGV
--   1  fire time in ms
--   2  job id
--   3  payload
--   4  time to live of the payload in ms
--   5  minimum real time in ms between two firings
--   6  maximum lead of a fire time over the clock of Redis in ms, or '' if the schedule does not
--      follow real time
-- Returns {1 if the job was enqueued, last fire time in ms, now in ms}.
local schedule, queue, ran_fire_times = KEYS[1], KEYS[2], KEYS[3]
local fire_time, id, payload, expiry = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local min_interval, max_lead = tonumber(ARGV[5]), tonumber(ARGV[6]) or math.huge
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('HMGET', schedule, 'slot', 'at')
local last, fired_at = tonumber(stored[1] or 0), tonumber(stored[2] or 0)
local fire_ms, latest = tonumber(fire_time), now + max_lead
if last > latest then last = 0 end  -- stored by a machine whose clock was ahead
local now_text = string.format('%.0f', now)
if fire_ms <= last or fire_ms > latest or now - fired_at < min_interval then
    return {0, string.format('%.0f', last), now_text}
end
redis.call('HSET', schedule, 'slot', fire_time, 'at', now_text)
local has_run = redis.call('ZSCORE', ran_fire_times, fire_time)
redis.call('ZREMRANGEBYSCORE', ran_fire_times, '-inf', fire_time)
if has_run or redis.call('EXISTS', JOB .. id, RESULT .. id, IN_PROGRESS .. id) > 0 then
    return {0, fire_time, now_text}
end
redis.call('SET', JOB .. id, payload, 'PX', expiry)
redis.call('ZADD', queue, now_text, id)
return {1, fire_time, now_text}
