-- Enqueues many jobs, as enqueue.lua does, without hand-offs.
--
-- ARGV
--   1  msgpack list of groups: {queue, delay in ms, expiry in ms, 1 if the producer chose the ids,
--      list of id, payload, id, payload, ...}
-- Returns, for each group, the indexes (from 0) of the jobs that were left out. Jobs whose ids the
--   producer did not choose are never left out.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local CHUNK = 2000  -- values per ZADD
local MIN_SCORE = 2  -- as in enqueue.lua
local reply = {}
local groups = cmsgpack.unpack(ARGV[1])

-- Fails for a key of another type before anything is written.
for _, group in ipairs(groups) do call('ZCARD', group[1]) end

for number, group in ipairs(groups) do
    local queue, delay, expiry, chosen, jobs = unpack(group)
    local is_chosen = chosen == 1
    local score = string.format('%.0f', math.max(now + delay, MIN_SCORE))
    local px = string.format('%.0f', expiry)
    local added, left_out = {}, {}
    for i = 1, #jobs, 2 do
        added[i], added[i + 1] = score, jobs[i]
        jobs[i] = JOB .. jobs[i]
    end
    if is_chosen or not set_all(jobs, px, 'NX') then
        local ids = added
        added = {}
        for i = 1, #jobs, 2 do
            local id = ids[i + 1]
            if is_chosen and (call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
               not call('SET', jobs[i], jobs[i + 1], 'PX', px, 'NX') then
                if is_chosen then left_out[#left_out + 1] = (i - 1) / 2 end
            else
                added[#added + 1], added[#added + 2] = score, id
            end
        end
    end
    for i = 1, #added, CHUNK do
        call('ZADD', queue, unpack(added, i, math.min(i + CHUNK - 1, #added)))
    end
    reply[number] = left_out
end
return reply
