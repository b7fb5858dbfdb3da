-- Adds jobs as arq's enqueue_job does, many at a time: an id that has a payload or a kept result
-- already is left out; so is one that runs, though its payload has expired: its end would take the
-- new job along.
--
-- ARGV  msgpack: a list of groups, each {queue, delay in ms, expiry in ms, 1 where the producer
--       chose the ids, list of id, payload, id, payload, …}
-- returns for each group the numbers, from 0, of the jobs that were left out
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local CHUNK = 2000
local answer = {}

-- A mark that outlives its job, as after a schedule's slot, has no place in the queue.
local function is_running(queue, id)
    return redis.call('EXISTS', IN_PROGRESS .. id) == 1 and redis.call('ZSCORE', queue, id)
end

for number, group in ipairs(cmsgpack.unpack(ARGV[1])) do
    local queue, delay, expiry, chosen, jobs = unpack(group)
    local score, px = string.format('%.0f', now + delay), string.format('%.0f', expiry)
    local added, left_out = {}, {}
    for i = 1, #jobs, 2 do
        local id = jobs[i]
        if chosen == 1 and (redis.call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
           not redis.call('SET', JOB .. id, jobs[i + 1], 'PX', px, 'NX') then
            left_out[#left_out + 1] = (i - 1) / 2
        else
            added[#added + 1], added[#added + 2] = score, id
        end
    end
    for i = 1, #added, CHUNK do
        redis.call('ZADD', queue, unpack(added, i, math.min(i + CHUNK - 1, #added)))
    end
    answer[number] = left_out
end
return answer
