-- Adds jobs as arq's enqueue_job does, many at a time: an id that has a payload or a kept result
-- already is left out; so is one that runs, though its payload has expired: its end would take the
-- new job along.
--
-- A job that is due and alone in its group is handed to a worker that waits: claimed for it, and
-- sent to it.
--
-- ARGV  msgpack: a list of groups, each {queue, delay in ms, expiry in ms, 1 where the producer
--       chose the ids, list of id, payload, id, payload, …}
-- returns for each group the numbers, from 0, of the jobs that were left out
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local CHUNK = 2000
local LARGEST = 65536  -- of the payloads that are handed over: Redis holds each for its listener
local answer = {}

-- A mark that outlives its job, as after a schedule's slot, has no place in the queue.
local function is_running(queue, id)
    return call('EXISTS', IN_PROGRESS .. id) == 1 and call('ZSCORE', queue, id)
end

local function has_past(id)
    return call('EXISTS', RETRY .. id) == 1 or call('ZSCORE', ABORT, id) or
           call('HEXISTS', LOST, id) == 1 or call('HEXISTS', LOST, UNKNOWN .. id) == 1
end

-- Whether a worker has taken the job. One that is asked in vain waits no longer: the queue changes,
-- and it will look there.
local function is_handed(queue, id, payload, score, chosen)
    while true do
        local last = call('ZPOPMAX', WAITING .. queue)
        if not last[1] or tonumber(last[2]) <= now or #payload > LARGEST or
           chosen == 1 and has_past(id) then
            return false
        end
        local lease = string.match(last[1], '%d+$')
        local token = last[1] .. ':' .. time[1] .. '.' .. time[2]
        if not call('SET', IN_PROGRESS .. id, token, 'PX', lease, 'NX') then return false end
        -- Redis writes the latest of several messages first, and this one is more urgent than what
        -- the watchers of the queue are told. A replica's listeners are not to hear it.
        call('ZADD', queue, '-' .. score, id)
        redis.set_repl(redis.REPL_NONE)
        local heard = redis.pcall('PUBLISH', HANDED .. last[1],
                                  cmsgpack.pack({queue, id, score, token, payload}))
        redis.set_repl(redis.REPL_ALL)
        if type(heard) == 'number' and heard > 0 then return true end
        call('DEL', IN_PROGRESS .. id)
    end
end

for number, group in ipairs(cmsgpack.unpack(ARGV[1])) do
    local queue, delay, expiry, chosen, jobs = unpack(group)
    local score, px = string.format('%.0f', now + delay), string.format('%.0f', expiry)
    local added, left_out, payloads = {}, {}, {}
    for i = 1, #jobs, 2 do payloads[i], payloads[i + 1] = JOB .. jobs[i], jobs[i + 1] end
    local all = chosen == 0 and set_all(payloads, px, 'NX')
    for i = 1, #jobs, 2 do
        local id = jobs[i]
        if chosen == 1 and (call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
           not (all or call('SET', payloads[i], jobs[i + 1], 'PX', px, 'NX')) then
            left_out[#left_out + 1] = (i - 1) / 2
        else
            added[#added + 1], added[#added + 2] = score, id
        end
    end
    if delay == 0 and #jobs == 2 and added[1] and is_handed(queue, jobs[1], jobs[2], score, chosen) then
        added = {}
    end
    for i = 1, #added, CHUNK do
        call('ZADD', queue, unpack(added, i, math.min(i + CHUNK - 1, #added)))
    end
    answer[number] = left_out
end
return answer
