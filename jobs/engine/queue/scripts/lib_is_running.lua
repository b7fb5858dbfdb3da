-- Whether a job of this id runs, be its payload expired. A mark that outlives its job, as after a
-- schedule's slot, has no place in the queue.
local function is_running(queue, id)
    return redis.call('EXISTS', IN_PROGRESS .. id) == 1 and redis.call('ZSCORE', queue, id)
end

