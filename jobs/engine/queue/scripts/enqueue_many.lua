-- Adds jobs as enqueue.lua does, many at a time; none of them is handed to a worker.
--
-- ARGV  msgpack: a list of groups, each {queue, delay in ms, expiry in ms, 1 where the producer
--       chose the ids, list of id, payload, id, payload, …}
-- returns for each group the numbers, from 0, of the jobs that were left out; none of those whose
--       ids the producer did not choose
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local CHUNK = 2000
local FIRST = 2  -- as in enqueue.lua
local answer = {}
local groups = cmsgpack.unpack(ARGV[1])

-- Raises for a name that is of another key, before anything is written.
for _, group in ipairs(groups) do call('ZCARD', group[1]) end

for number, group in ipairs(groups) do
    local queue, delay, expiry, chosen, jobs = unpack(group)
    local score = string.format('%.0f', math.max(now + delay, FIRST))
    local px = string.format('%.0f', expiry)
    local added, left_out = {}, {}
    for i = 1, #jobs, 2 do
        added[i], added[i + 1] = score, jobs[i]
        jobs[i] = JOB .. jobs[i]
    end
    if chosen == 1 or not set_all(jobs, px, 'NX') then
        local ids = added
        added = {}
        for i = 1, #jobs, 2 do
            local id = ids[i + 1]
            if chosen == 1 and (call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
               not call('SET', jobs[i], jobs[i + 1], 'PX', px, 'NX') then
                if chosen == 1 then left_out[#left_out + 1] = (i - 1) / 2 end
            else
                added[#added + 1], added[#added + 2] = score, id
            end
        end
    end
    for i = 1, #added, CHUNK do
        call('ZADD', queue, unpack(added, i, math.min(i + CHUNK - 1, #added)))
    end
    answer[number] = left_out
end
return answer
