-- Notes a slot that runs, where nobody noted that it was fired: a stock worker does not.
--
-- KEYS  schedule, its slots that ran
-- ARGV  slot in ms, '1' where earlier slots may still have to be fired,
--       for how many ms such a slot is remembered
local last, slot = tonumber(redis.call('HGET', KEYS[1], 'slot') or 0), tonumber(ARGV[1])
if slot <= last then return end
if last > 0 and ARGV[2] == '1' then
    redis.call('ZADD', KEYS[2], ARGV[1], ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', slot - ARGV[3])
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
else
    redis.call('HSET', KEYS[1], 'slot', ARGV[1])
end
