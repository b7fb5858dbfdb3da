-- Records that a fire time runs, unless it is recorded as fired. arq's workers do not record the
-- fire times that they enqueue.
--
-- KEYS
--   1  schedule
--   2  fire times of the schedule that ran
-- ARGV
--   1  fire time in ms
--   2  '1' if earlier fire times may still have to fire, else ''
--   3  time in ms for which such a fire time is kept
local schedule, ran_fire_times = KEYS[1], KEYS[2]
local fire_time, has_earlier, kept = ARGV[1], ARGV[2] == '1', ARGV[3]
local last, fire_ms = tonumber(redis.call('HGET', schedule, 'slot') or 0), tonumber(fire_time)
if fire_ms <= last then return end
if last > 0 and has_earlier then
    redis.call('ZADD', ran_fire_times, fire_time, fire_time)
    redis.call('ZREMRANGEBYSCORE', ran_fire_times, '-inf', fire_ms - kept)
    redis.call('PEXPIRE', ran_fire_times, kept)
else
    redis.call('HSET', schedule, 'slot', fire_time)
end
