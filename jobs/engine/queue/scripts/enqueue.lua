-- Adds a job as arq's enqueue_job does: an id that has a payload or a kept result already is left
-- out; so is one that runs, though its payload has expired: its end would take the new job along.
--
-- A job that is due now is handed to a worker that waits: claimed for it, and sent to it.
--
-- KEYS  queue
-- ARGV  id, payload, delay (negative for a job that was due before) and expiry in ms, '1' where the
--       producer chose the id
-- returns 1 where it was added. An id that the producer did not choose can only be there by its own
--       first try, whose answer was lost: it was added, then
local call = redis.call
local queue, id, payload, delay, chosen = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[5] == '1'
local FIRST = 2  -- what runs is below 0, and at 1 what is being aborted
local LARGEST = 65536  -- of the payloads that are handed over: Redis holds each for its listener

if chosen and (call('EXISTS', RESULT .. id) == 1 or is_running(queue, id)) or
   not call('SET', JOB .. id, payload, 'PX', ARGV[4], 'NX') then
    return chosen and 0 or 1
end
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local score = string.format('%.0f', math.max(now + delay, FIRST))

local function has_past()
    return call('EXISTS', RETRY .. id) == 1 or call('ZSCORE', ABORT, id) or
           call('HEXISTS', LOST, id) == 1 or call('HEXISTS', LOST, UNKNOWN .. id) == 1
end

-- Whether a worker has taken the job. One that is asked in vain waits no longer: the queue changes,
-- and it will look there.
local function is_handed()
    while true do
        local last = call('ZPOPMAX', WAITING .. queue)
        local worker = last[1]
        if not worker or tonumber(last[2]) <= now or #payload > LARGEST or chosen and has_past() then
            return false
        end
        local token = worker .. ':' .. time[1] .. '.' .. time[2]
        local lease = string.match(worker, '%d+$')
        if not call('SET', IN_PROGRESS .. id, token, 'PX', lease, 'NX') then return false end
        -- Redis writes the latest of several messages first, and this one is more urgent than what
        -- the watchers of the queue are told. A replica's listeners are not to hear it.
        call('ZADD', queue, '-' .. score, id)
        redis.set_repl(redis.REPL_NONE)
        local heard = redis.pcall('PUBLISH', HANDED .. worker,
                                  cmsgpack.pack({queue, id, score, token, payload}))
        redis.set_repl(redis.REPL_ALL)
        if type(heard) == 'number' and heard > 0 then return true end
        call('DEL', IN_PROGRESS .. id)
    end
end

if delay ~= 0 or not is_handed() then
    local added = redis.pcall('ZADD', queue, score, id)
    if type(added) == 'table' then  -- such as where the queue's name is that of another key
        call('DEL', JOB .. id)
        return added
    end
end
return 1
