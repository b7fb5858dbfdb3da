-- Claims due jobs. A claimed id moves to the negative of its score, out of the way of the others,
-- and its in-progress key holds the owner's token for the length of the lease.
-- An id with someone else's in-progress key is left alone.
--
-- KEYS  queues, the one to be served first at the front
-- ARGV  token, lease in ms, most jobs to claim, '1' to read the abort marks,
--       the worker that may be handed jobs ('': leave that as it is), and for how many ms from now
--       (0: no longer); it is not where this claim finds something
-- returns {now, next due time or false, ids in the queues or false,
--          pairs of a queue's number and how many of the claims it has, in their order,
--          pairs of a claimed id and its score, payloads,
--          false where the claims have no past; else
--          {tries used, abort marks, lapses then times put back unknown}}
local call = redis.call
local MARK_WAIT = 200  -- ms: the two calls are a round trip apart
local token, lease, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = call('TIME')
local now = string.format('%d%03d', time[1], math.floor(time[2] / 1000))
local count, claimed, payloads, retries, runs = 0, {}, {}, {}, {}

-- `Job.abort()` makes a deferred job due in one call, at 1, and asks for its end in the next: it is
-- not started in between.
local function is_being_aborted(queue, due)
    local found = false
    for i = 1, #due, 2 do
        if due[i + 1] ~= '1' then break end
        if not call('ZSCORE', ABORT, due[i]) and call('EXISTS', IN_PROGRESS .. due[i]) == 0 then
            call('ZADD', queue, 'XX', now + MARK_WAIT, due[i])
            found = true
        end
    end
    return found
end

local function claim_from(number, most)
    local queue, taken, passed = KEYS[number], 0, 0
    while taken < most and passed < 1000 do
        local want = most - taken
        local due
        repeat
            due = call('ZRANGEBYSCORE', queue, '(0', now, 'WITHSCORES', 'LIMIT', passed, want)
        until due[2] ~= '1' or ARGV[4] ~= '1' or not is_being_aborted(queue, due)
        local owners, moved, at = {}, {}, 0
        for i = 1, #due, 2 do owners[i], owners[i + 1] = IN_PROGRESS .. due[i], token end
        local all = set_all(owners, lease, 'NX')
        for i = 1, #due, 2 do
            local id, owner = due[i], owners[i]
            if all or call('SET', owner, token, 'PX', lease, 'NX') then
                count, at = count + 1, at + 2
                claimed[2 * count - 1], claimed[2 * count] = id, due[i + 1]
                payloads[count], retries[count] = JOB .. id, RETRY .. id
                moved[at - 1], moved[at] = '-' .. due[i + 1], id
            elseif call('GET', owner) == FIRED then
                -- a schedule's slot that has already run, enqueued once more
                call('ZREM', queue, id)
                call('DEL', JOB .. id)
            else
                passed = passed + 1
            end
        end
        if at > 0 then
            call('ZADD', queue, 'XX', unpack(moved))
            runs[#runs + 1], runs[#runs + 2] = number, at / 2
            taken = taken + at / 2
        end
        if #due < 2 * want then break end
    end
end

local share = math.ceil(limit / #KEYS)
for number = 1, #KEYS do claim_from(number, math.min(share, limit - count)) end
if #KEYS > 1 then
    for number = 1, #KEYS do claim_from(number, limit - count) end
end

-- Where Redis refuses to write, a worker that finds nothing to do is not disturbed by it.
local waits = count == 0 and tonumber(ARGV[6]) or 0
for number = 1, ARGV[5] ~= '' and #KEYS or 0 do
    local waiting = WAITING .. KEYS[number]
    if waits > 0 then
        redis.pcall('ZADD', waiting, now + waits, ARGV[5])
        redis.pcall('PEXPIRE', waiting, waits)
    else
        redis.pcall('ZREM', waiting, ARGV[5])
    end
end

-- A claim that leaves slots free ends on a read of the queues: a client that watches is then told
-- of their next change.
local next_due, left = false, false
if count < limit then
    left = 0
    for number = 1, #KEYS do
        local following = call('ZRANGEBYSCORE', KEYS[number], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if following[2] and (not next_due or tonumber(following[2]) < tonumber(next_due)) then
            next_due = following[2]
        end
        left = left + call('ZCARD', KEYS[number])
    end
end
if count == 0 then return {now, next_due, left, runs, claimed, {}, false} end

local past = false
local has_aborts = ARGV[4] == '1' and call('EXISTS', ABORT) == 1
local has_lapses = call('EXISTS', LOST) == 1
if has_aborts or has_lapses or call('EXISTS', unpack(retries)) > 0 then
    local ids = {}
    for i = 1, count do ids[i] = claimed[2 * i - 1] end
    past = {call('MGET', unpack(retries)), {}, {}}
    if has_aborts then past[2] = call('ZMSCORE', ABORT, unpack(ids)) end
    if has_lapses then
        for i = 1, count do ids[count + i] = UNKNOWN .. ids[i] end
        past[3] = call('HMGET', LOST, unpack(ids))
    end
end
return {now, next_due, left, runs, claimed, call('MGET', unpack(payloads)), past}
