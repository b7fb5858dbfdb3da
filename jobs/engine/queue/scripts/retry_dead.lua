-- Requeues dead letters. The same script call enqueues the job and removes the dead letter, so the
-- job is neither lost nor duplicated.
--
-- ARGV
--   1  msgpack: {expiry in ms, list of id, time of failure in ms, queue, payload, id, ...}
-- Returns the requeued ids. Left out: ids without a dead letter or with a newer one, ids that are
--   queued again, and ids that run although their payload expired, because their completion would
--   remove the new job.
local expiry, jobs = unpack(cmsgpack.unpack(ARGV[1]))
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local requeued = {}

for i = 1, #jobs, 4 do
    local id, failed_ms, queue, payload = jobs[i], jobs[i + 1], jobs[i + 2], jobs[i + 3]
    if redis.call('HEXISTS', DEAD_LETTERS, id) == 1 and
       redis.call('ZSCORE', DEAD_INDEX, id) == failed_ms and not is_running(queue, id) and
       redis.call('SET', JOB .. id, payload, 'PX', string.format('%.0f', expiry), 'NX') then
        redis.call('DEL', RESULT .. id, RETRY .. id)
        redis.call('HDEL', LOST, id)
        redis.call('ZREM', ABORT, id)
        redis.call('ZADD', queue, now, id)
        redis.call('HDEL', DEAD_LETTERS, id)
        redis.call('ZREM', DEAD_INDEX, id)
        requeued[#requeued + 1] = id
    end
end
return requeued
