-- Enqueues a job, as arq's enqueue_job does. An id with a payload or a kept result is left out. So
-- is an id that runs although its payload expired: its completion would remove the new job.
--
-- If the job is due now and a worker waits for a hand-off, the job is claimed for that worker and
-- published to it.
--
-- KEYS
--   1  name of the queue
-- ARGV
--   1  id
--   2  payload
--   3  delay in ms; negative if the job was due before now
--   4  expiry in ms
--   5  '1' if the producer chose the id, else ''
-- Returns 1 if the job was enqueued, else 0. If the producer did not choose the id, the id can only
--   exist because the reply to the same call was lost, so the reply is 1.
local call = redis.call
local queue = KEYS[1]
local id, payload, delay, expiry = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local is_chosen = ARGV[5] == '1'
local MIN_SCORE = 2  -- running jobs have negative scores, jobs that are being aborted have score 1
local MAX_HANDOFF_BYTES = 65536  -- Redis buffers each payload for its subscriber

if is_chosen and (call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
   not call('SET', JOB .. id, payload, 'PX', expiry, 'NX') then
    return is_chosen and 0 or 1
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = string.format('%.0f', math.max(now + delay, MIN_SCORE))

local function has_history()
    return call('EXISTS', RETRY .. id) == 1 or call('ZSCORE', ABORT, id) or
           call('HEXISTS', LOST, id) == 1 or call('HEXISTS', LOST, UNKNOWN .. id) == 1
end

-- Hands the job to a waiting worker. A worker that does not get the job is no longer waiting, but
-- the change of the queue makes it claim.
local function hand_off()
    while true do
        local waiting = call('ZPOPMAX', WAITING .. queue)
        local worker, until_ms = waiting[1], tonumber(waiting[2])
        if not worker or until_ms <= now or #payload > MAX_HANDOFF_BYTES or
           is_chosen and has_history() then
            return false
        end
        local token = worker .. ':' .. time[1] .. '.' .. time[2]
        local lease = string.match(worker, '%d+$')
        if not call('SET', IN_PROGRESS .. id, token, 'PX', lease, 'NX') then return false end
        -- Redis writes the latest message of a script first, and the hand-off is more urgent than
        -- the notification of watching clients. Subscribers of replicas must not receive it.
        call('ZADD', queue, '-' .. score, id)
        redis.set_repl(redis.REPL_NONE)
        local receivers = redis.pcall('PUBLISH', HANDED .. worker,
                                      cmsgpack.pack({queue, id, score, token, payload}))
        redis.set_repl(redis.REPL_ALL)
        if type(receivers) == 'number' and receivers > 0 then return true end
        call('DEL', IN_PROGRESS .. id)
    end
end

if delay ~= 0 or not hand_off() then
    local added = redis.pcall('ZADD', queue, score, id)
    if type(added) == 'table' then  -- an error, such as a key of another type
        call('DEL', JOB .. id)
        return added
    end
end
return 1
