-- Claims due jobs. A claimed id moves to the negative of its score, out of the way of the others,
-- and its in-progress key holds the owner's token for the length of the lease.
-- An id with someone else's in-progress key is left alone.
--
-- KEYS  queues, the one to be served first at the front
-- ARGV  token, lease in ms, most jobs to claim, '1' to read the abort marks
-- returns {now, next due time or false, ids in the queues or false,
--          claimed ids, scores, queue numbers, payloads then tries used, abort marks,
--          lapses then times put back unknown}
local token, lease, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = string.format('%d%03d', time[1], math.floor(time[2] / 1000))
local ids, scores, queues = {}, {}, {}

local function claim_from(number, most)
    local queue, taken, passed = KEYS[number], 0, 0
    while taken < most and passed < 1000 do
        local want = most - taken
        local due = redis.call('ZRANGEBYSCORE', queue, '(0', now, 'WITHSCORES', 'LIMIT', passed, want)
        local moved = {}
        for i = 1, #due, 2 do
            local id, score = due[i], due[i + 1]
            local owner = IN_PROGRESS .. id
            if redis.call('SET', owner, token, 'NX', 'PX', lease) then
                ids[#ids + 1], scores[#scores + 1], queues[#queues + 1] = id, score, number
                moved[#moved + 1], moved[#moved + 2] = '-' .. score, id
                taken = taken + 1
            elseif redis.call('GET', owner) == FIRED then
                -- a schedule's slot that has already run, enqueued once more
                redis.call('ZREM', queue, id)
                redis.call('DEL', JOB .. id)
            else
                passed = passed + 1
            end
        end
        if #moved > 0 then redis.call('ZADD', queue, 'XX', unpack(moved)) end
        if #due < 2 * want then break end
    end
end

local share = math.ceil(limit / #KEYS)
for number = 1, #KEYS do claim_from(number, math.min(share, limit - #ids)) end
if #KEYS > 1 then
    for number = 1, #KEYS do claim_from(number, limit - #ids) end
end

-- A claim that leaves slots free ends on a read of the queues: with client tracking on, Redis then
-- tells this connection of their next change.
local next_due, left = false, false
if #ids < limit then
    left = 0
    for number = 1, #KEYS do
        local following = redis.call('ZRANGEBYSCORE', KEYS[number], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
        if following[2] and (not next_due or tonumber(following[2]) < tonumber(next_due)) then
            next_due = following[2]
        end
        left = left + redis.call('ZCARD', KEYS[number])
    end
end

local values, aborts, lapses = {}, {}, {}
if #ids > 0 then
    local wanted = {}
    for i, id in ipairs(ids) do
        wanted[i], wanted[#ids + i] = JOB .. id, RETRY .. id
    end
    values = redis.call('MGET', unpack(wanted))
    if ARGV[4] == '1' then aborts = redis.call('ZMSCORE', ABORT, unpack(ids)) end
    if redis.call('EXISTS', LOST) == 1 then
        for i, id in ipairs(ids) do
            wanted[i], wanted[#ids + i] = id, UNKNOWN .. id
        end
        lapses = redis.call('HMGET', LOST, unpack(wanted))
    end
end
return {now, next_due, left, ids, scores, queues, values, aborts, lapses}
