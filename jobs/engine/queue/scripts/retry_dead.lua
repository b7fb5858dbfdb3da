-- Puts dead letters back into their queues. The letter goes when the job is there, in the same
-- script, so that it is never lost and never there twice.
--
-- ARGV  msgpack: expiry in ms, list of id, time of death in ms, queue, payload, id, …
-- returns the ids of those put back; not those whose letter is gone, or is of a later death, or whose
-- id is queued already, or runs, though its payload has expired: its end would take the new job along
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local expiry, jobs = unpack(cmsgpack.unpack(ARGV[1]))
local revived = {}

local function is_running(queue, id)
    return redis.call('EXISTS', IN_PROGRESS .. id) == 1 and redis.call('ZSCORE', queue, id)
end

for i = 1, #jobs, 4 do
    local id, died, queue, payload = jobs[i], jobs[i + 1], jobs[i + 2], jobs[i + 3]
    if redis.call('HEXISTS', DEAD_LETTERS, id) == 1 and
       redis.call('ZSCORE', DEAD_INDEX, id) == died and not is_running(queue, id) and
       redis.call('SET', JOB .. id, payload, 'PX', string.format('%.0f', expiry), 'NX') then
        redis.call('DEL', RESULT .. id, RETRY .. id)
        redis.call('HDEL', LOST, id)
        redis.call('ZREM', ABORT, id)
        redis.call('ZADD', queue, now, id)
        redis.call('HDEL', DEAD_LETTERS, id)
        redis.call('ZREM', DEAD_INDEX, id)
        revived[#revived + 1] = id
    end
end
return revived
