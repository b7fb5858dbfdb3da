-- Claims due jobs. A claimed id moves to the negative of its score, out of the way of other due
-- ids, and its in-progress key holds the owner's token for one lease. An id that another worker
-- holds is skipped.
--
-- KEYS
--   names of the queues, the queue to serve first in front
-- ARGV
--   1  token of this claim
--   2  lease in ms
--   3  maximum number of jobs
--   4  '1' to read the abort requests, else ''
--   5  worker that accepts hand-offs, or '' to change nothing
--   6  hand-off window in ms, 0 to end it; ignored if jobs are claimed
-- Returns {now in ms, next due time in ms or false, number of ids in the queues or false,
--   pairs of a queue's number and its number of claims,
--   pairs of a claimed id and its score, in the same order,
--   payloads,
--   false if the claims have no history, else
--     {tries used, times of abort requests, expired leases followed by requeues}}
-- "or false" applies if the limit was reached.
local call = redis.call
local queues = KEYS
local token, lease, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local reads_aborts, worker, handoff_window = ARGV[4] == '1', ARGV[5], tonumber(ARGV[6])
local ABORT_DELAY = 200  -- ms: the two calls of `Job.abort()` are one round trip apart
local MAX_SKIPPED = 1000
local time = call('TIME')
local now = string.format('%d%03d', time[1], math.floor(time[2] / 1000))
local count, claimed, payload_keys, retry_keys, counts = 0, {}, {}, {}, {}

-- `Job.abort()` makes a deferred job due, at score 1, and adds its abort request in a second call.
-- The job must not start in between.
local function is_being_aborted(queue, due)
    local found = false
    for i = 1, #due, 2 do
        local id, score = due[i], due[i + 1]
        if score ~= '1' then break end
        if not call('ZSCORE', ABORT, id) and call('EXISTS', IN_PROGRESS .. id) == 0 then
            call('ZADD', queue, 'XX', now + ABORT_DELAY, id)
            found = true
        end
    end
    return found
end

local function claim_from(number, max)
    local queue, taken, skipped = queues[number], 0, 0
    while taken < max and skipped < MAX_SKIPPED do
        local wanted = max - taken
        local due
        repeat
            due = call('ZRANGEBYSCORE', queue, '(0', now, 'WITHSCORES', 'LIMIT', skipped, wanted)
        until due[2] ~= '1' or not reads_aborts or not is_being_aborted(queue, due)
        local owners, moved, size = {}, {}, 0
        for i = 1, #due, 2 do owners[i], owners[i + 1] = IN_PROGRESS .. due[i], token end
        local all = set_all(owners, lease, 'NX')
        for i = 1, #due, 2 do
            local id, score, owner = due[i], due[i + 1], owners[i]
            if all or call('SET', owner, token, 'PX', lease, 'NX') then
                count, size = count + 1, size + 2
                claimed[2 * count - 1], claimed[2 * count] = id, score
                payload_keys[count], retry_keys[count] = JOB .. id, RETRY .. id
                moved[size - 1], moved[size] = '-' .. score, id
            elseif call('GET', owner) == FIRED then
                -- a schedule's job that has already run and was enqueued again
                call('ZREM', queue, id)
                call('DEL', JOB .. id)
            else
                skipped = skipped + 1
            end
        end
        if size > 0 then
            call('ZADD', queue, 'XX', unpack(moved))
            counts[#counts + 1], counts[#counts + 2] = number, size / 2
            taken = taken + size / 2
        end
        if #due < 2 * wanted then break end
    end
end

-- Each queue first gets an equal share of the limit.
local share = math.ceil(limit / #queues)
for number = 1, #queues do claim_from(number, math.min(share, limit - count)) end
if #queues > 1 then
    for number = 1, #queues do claim_from(number, limit - count) end
end

-- `pcall`: if Redis refuses to write, a worker that finds no job must not fail.
local window = count == 0 and handoff_window or 0
for number = 1, worker ~= '' and #queues or 0 do
    local waiting = WAITING .. queues[number]
    if window > 0 then
        redis.pcall('ZADD', waiting, now + window, worker)
        redis.pcall('PEXPIRE', waiting, window)
    else
        redis.pcall('ZREM', waiting, worker)
    end
end

-- Below the limit, the claim ends with a read of the queues, so client tracking reports their next
-- change.
local next_due, remaining = false, false
if count < limit then
    remaining = 0
    for number = 1, #queues do
        local deferred = call('ZRANGEBYSCORE', queues[number], '(' .. now, '+inf',
                              'WITHSCORES', 'LIMIT', 0, 1)
        if deferred[2] and (not next_due or tonumber(deferred[2]) < tonumber(next_due)) then
            next_due = deferred[2]
        end
        remaining = remaining + call('ZCARD', queues[number])
    end
end
if count == 0 then return {now, next_due, remaining, counts, claimed, {}, false} end

local history = false
local has_aborts = reads_aborts and call('EXISTS', ABORT) == 1
local has_losses = call('EXISTS', LOST) == 1
if has_aborts or has_losses or call('EXISTS', unpack(retry_keys)) > 0 then
    local ids = {}
    for i = 1, count do ids[i] = claimed[2 * i - 1] end
    history = {call('MGET', unpack(retry_keys)), {}, {}}
    if has_aborts then history[2] = call('ZMSCORE', ABORT, unpack(ids)) end
    if has_losses then
        for i = 1, count do ids[count + i] = UNKNOWN .. ids[i] end
        history[3] = call('HMGET', LOST, unpack(ids))
    end
end
return {now, next_due, remaining, counts, claimed, call('MGET', unpack(payload_keys)), history}
