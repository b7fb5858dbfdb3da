-- Returns whether a job with this id runs, even if its payload expired. A schedule's mark outlives
-- its job, but its id is not in the queue.
local function is_running(queue, id)
    return redis.call('EXISTS', IN_PROGRESS .. id) == 1 and redis.call('ZSCORE', queue, id)
end

