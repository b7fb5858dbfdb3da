-- Applies completions. A completion is refused if another worker has claimed or finished the job
-- meanwhile: the token is gone, and the id is not where the claim or a reclaim has moved it.
-- Commands that free memory come first, so Redis accepts the others even when it is full.
--
-- KEYS
--   names of the queues
-- ARGV
--   1  msgpack: {groups, executions, dead letters}
--      groups: {token, queue number, {kind, p1, p2, p3}, {counters key or '', field, field or ''}}
--      executions: list of id, score, group number, result ('': none)
--      dead letters: list of index of the execution (from 0), encoded dead letter
--      kind 'end': the job is finished. p1: time to live of the result in ms, 0 for forever;
--        p2: time to live of the schedule's mark in ms, '' for none; p3: '' if the job has used
--        no try before
--      kind 'absent': the same for an id without a payload; an existing result stays
--      kind 'again': the job is requeued. p1: delay in ms, '' to restore its score; p2: tries
--        used, '' for none; p3: time in ms from the due time to the expiry
--      kind 'unknown': the same, and counted, because the worker does not know the function
-- Returns the indexes (from 0) of the refused executions.
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local MIN_RETRY_TTL = 88400000  -- ms, as in arq
local EXPIRY_TOLERANCE = 60000  -- ms

local groups, executions, dead_letters = unpack(cmsgpack.unpack(ARGV[1]))
local finished_ids = {}  -- by queue number
for i, group in ipairs(groups) do
    local completion, counters = group[3], group[4]
    local kind, queue = completion[1], group[2]
    local finishes = kind == 'end' or kind == 'absent'
    finished_ids[queue] = finished_ids[queue] or {}
    groups[i] = {
        token = group[1], queue = queue, finished_ids = finished_ids[queue], kind = kind,
        finishes = finishes,
        -- of kinds 'end' and 'absent'
        result_ttl = finishes and string.format('%.0f', completion[2]),
        mark_ttl = finishes and completion[3], tries_before = finishes and completion[4],
        -- of kinds 'again' and 'unknown'
        delay = completion[2], tries = completion[3], expiry = completion[4],
        counters = counters[1], outcome = counters[2], duration = counters[3], count = 0,
    }
end
local leases, count = {}, #executions / 4
for i = 1, count do leases[i] = IN_PROGRESS .. executions[4 * i - 3] end
local owners = count > 0 and call('MGET', unpack(leases))

local function is_unclaimed(group, id, score)
    local found = call('ZSCORE', KEYS[group.queue], id)
    -- A requeue of an id that is back at its score is refused: the job was already reclaimed.
    return found and (found == '-' .. score or group.finishes and found == score)
end

local refused, is_refused, freed_keys, finished, requeued = {}, {}, {}, {}, {}
local freed_count, finished_count = 0, 0
for i = 1, count do
    local start = 4 * i - 3
    local id, score, group = executions[start], executions[start + 1], groups[executions[start + 2]]
    local owner = owners[i]
    if owner ~= group.token and (owner or not is_unclaimed(group, id, score)) then
        refused[#refused + 1] = i - 1
        is_refused[i - 1] = true
    elseif group.finishes then
        group.count = group.count + 1
        freed_count = freed_count + 1
        freed_keys[freed_count] = JOB .. id
        if group.mark_ttl == '' then
            freed_count = freed_count + 1
            freed_keys[freed_count] = leases[i]
        end
        if group.tries_before ~= '' or not owner then
            freed_count = freed_count + 1
            freed_keys[freed_count] = RETRY .. id
        end
        local ids = group.finished_ids
        finished_count = finished_count + 1
        ids[#ids + 1], finished[finished_count] = id, start
    else
        group.count = group.count + 1
        requeued[#requeued + 1] = start
    end
end

if freed_count > 0 then call('DEL', unpack(freed_keys)) end
for queue, ids in pairs(finished_ids) do
    if ids[1] then call('ZREM', KEYS[queue], unpack(ids)) else finished_ids[queue] = nil end
end
if call('EXISTS', ABORT) == 1 then
    for _, ids in pairs(finished_ids) do call('ZREM', ABORT, unpack(ids)) end
end
if call('EXISTS', LOST) == 1 then
    for _, ids in pairs(finished_ids) do
        local size = #ids
        for i = 1, size do ids[size + i] = UNKNOWN .. ids[i] end
        call('HDEL', LOST, unpack(ids))
    end
end

local results_by_ttl = {}  -- key, result, key, result, ...
for i = 1, finished_count do
    local start = finished[i]
    local id, result, group = executions[start], executions[start + 3], groups[executions[start + 2]]
    local key, ttl = RESULT .. id, group.result_ttl
    if result == '' then
        -- no result is kept
    elseif group.kind == 'end' then
        local results = results_by_ttl[ttl]
        if not results then results = {} results_by_ttl[ttl] = results end
        local size = #results
        results[size + 1], results[size + 2] = key, result
    elseif ttl ~= '0' then
        call('SET', key, result, 'PX', ttl, 'NX')
    else
        call('SET', key, result, 'NX')
    end
    if group.mark_ttl ~= '' then call('SET', IN_PROGRESS .. id, FIRED, 'PX', group.mark_ttl) end
end
for ttl, results in pairs(results_by_ttl) do
    if ttl == '0' then
        call('MSET', unpack(results))
    elseif not set_all(results, ttl) then
        for i = 1, #results, 2 do call('SET', results[i], results[i + 1], 'PX', ttl) end
    end
end

for _, start in ipairs(requeued) do
    local id, score, group = executions[start], executions[start + 1], groups[executions[start + 2]]
    local queue, tries, expiry = KEYS[group.queue], group.tries, group.expiry
    call('DEL', IN_PROGRESS .. id)
    local delay = 0
    if group.delay == '' then
        call('ZADD', queue, 'XX', score, id)
    else
        delay = group.delay
        call('ZADD', queue, 'XX', string.format('%.0f', now + delay), id)
        -- The default expiry is relative to the due time, so it moves with the due time. An expiry
        -- chosen by the producer is a deadline, so it stays.
        local ttl = call('PTTL', JOB .. id)
        if ttl > 0 and math.abs(now + ttl - tonumber(score) - expiry) < EXPIRY_TOLERANCE then
            call('PEXPIRE', JOB .. id, string.format('%.0f', delay + expiry))
        end
    end
    if group.kind == 'unknown' then call('HINCRBY', LOST, UNKNOWN .. id, 1) end
    if tries ~= '' then
        local ttl = string.format('%.0f', delay + math.max(expiry, MIN_RETRY_TTL))
        call('SET', RETRY .. id, tries, 'PX', ttl)
    end
end

for i = 1, #dead_letters, 2 do
    local index = dead_letters[i]
    if not is_refused[index] then
        local id = executions[4 * index + 1]
        call('HSET', DEAD_LETTERS, id, dead_letters[i + 1])
        call('ZADD', DEAD_INDEX, string.format('%.0f', now), id)
    end
end
for _, group in pairs(groups) do
    if group.counters ~= '' and group.count > 0 then
        call('HINCRBY', group.counters, group.outcome, group.count)
        if group.duration ~= '' then
            call('HINCRBY', group.counters, group.duration, group.count)
        end
    end
end
-- A change by this client ends its tracking of a queue without a notification. A read renews it.
for _, queue in ipairs(KEYS) do call('ZCARD', queue) end
return refused
