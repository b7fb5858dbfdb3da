-- Ends many tries. A try is refused when its job has meanwhile been claimed, or finished, by
-- someone else: its token is gone and the job is not where the claim, or the reaper, had put it.
-- What frees memory comes first: Redis then lets the rest through even when it is full.
--
-- KEYS  queues
-- ARGV  number of manners, of tries, of letters; for each manner, which many tries share:
--       token, queue number, kind, three values, and what counts it: a hash ('': nothing) and
--       two of its fields;
--       for each try: id, score, number of its manner, result;
--       for each dead letter: number of its try, letter
--   kind 'end'    the job is over: the result's time to live in ms (0: for ever), cron mark in ms
--   kind 'absent' the same, for an id without payload: an older result stays
--   kind 'again'  it goes back: delay in ms ('': to its old place), tries used ('': none),
--                 the time in ms that a job is kept after it is due
--   kind 'unknown' the same, counted: nobody here knows its function
-- returns the numbers, from 0, of the tries that were refused
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local manners, count, letters = {}, tonumber(ARGV[2]), tonumber(ARGV[3])
local at = 4
for i = 1, tonumber(ARGV[1]) do
    manners[tostring(i)] = {
        token = ARGV[at], queue = tonumber(ARGV[at + 1]), kind = ARGV[at + 2],
        first = ARGV[at + 3], second = ARGV[at + 4], third = ARGV[at + 5],
        counters = ARGV[at + 6], ending = ARGV[at + 7], took = ARGV[at + 8], count = 0,
        ends = ARGV[at + 2] == 'end' or ARGV[at + 2] == 'absent',
    }
    at = at + 9
end
local tries = at
local leases = {}
for i = 1, count do leases[i] = IN_PROGRESS .. ARGV[tries + 4 * i - 4] end
local owners = count > 0 and call('MGET', unpack(leases))

local function is_ours(manner, id, score)
    local found = call('ZSCORE', KEYS[manner.queue], id)
    -- One that is to run again and stands at its old place has been put back already.
    return found and (found == '-' .. score or manner.ends and found == score)
end

local refused, is_refused, gone, over, ended, again = {}, {}, {}, {}, {}, {}
local freed, ending = 0, 0
for i = 1, count do
    local id, manner, owner = ARGV[at], manners[ARGV[at + 2]], owners[i]
    if owner ~= manner.token and (owner or not is_ours(manner, id, ARGV[at + 1])) then
        refused[#refused + 1] = i - 1
        is_refused[i - 1] = true
    elseif manner.ends then
        manner.count = manner.count + 1
        gone[freed + 1], gone[freed + 2] = JOB .. id, RETRY .. id
        freed = freed + 2
        if manner.second == '' then
            freed = freed + 1
            gone[freed] = leases[i]
        end
        local ids = over[manner.queue]
        if not ids then ids = {} over[manner.queue] = ids end
        ending = ending + 1
        ids[#ids + 1], ended[ending] = id, at
    else
        manner.count = manner.count + 1
        again[#again + 1] = at
    end
    at = at + 4
end

if freed > 0 then call('DEL', unpack(gone)) end
for queue, ids in pairs(over) do call('ZREM', KEYS[queue], unpack(ids)) end
if call('EXISTS', ABORT) == 1 then
    for _, ids in pairs(over) do call('ZREM', ABORT, unpack(ids)) end
end
if call('EXISTS', LOST) == 1 then
    for _, ids in pairs(over) do
        local count_of = #ids
        for i = 1, count_of do ids[count_of + i] = UNKNOWN .. ids[i] end
        call('HDEL', LOST, unpack(ids))
    end
end

for i = 1, ending do
    local try = ended[i]
    local id, manner, result = ARGV[try], manners[ARGV[try + 2]], ARGV[try + 3]
    if result ~= '' then
        local ttl = manner.first
        if manner.kind == 'end' and ttl ~= '0' then
            call('SET', RESULT .. id, result, 'PX', ttl)
        elseif manner.kind == 'end' then
            call('SET', RESULT .. id, result)
        elseif ttl ~= '0' then
            call('SET', RESULT .. id, result, 'PX', ttl, 'NX')
        else
            call('SET', RESULT .. id, result, 'NX')
        end
    end
    if manner.second ~= '' then call('SET', IN_PROGRESS .. id, FIRED, 'PX', manner.second) end
end

for _, try in ipairs(again) do
    local id, score, manner = ARGV[try], ARGV[try + 1], manners[ARGV[try + 2]]
    local queue, used, kept = KEYS[manner.queue], manner.second, tonumber(manner.third)
    call('DEL', IN_PROGRESS .. id)
    local wait = 0
    if manner.first == '' then
        call('ZADD', queue, 'XX', score, id)
    else
        wait = tonumber(manner.first)
        call('ZADD', queue, 'XX', string.format('%.0f', now + wait), id)
        -- The default expiry counts from the due time, so it moves along with it; an expiry that
        -- the producer chose is a deadline, and stays.
        local lives = call('PTTL', JOB .. id)
        if lives > 0 and math.abs(now + lives - tonumber(score) - kept) < 60000 then
            call('PEXPIRE', JOB .. id, string.format('%.0f', wait + kept))
        end
    end
    if manner.kind == 'unknown' then call('HINCRBY', LOST, UNKNOWN .. id, 1) end
    if used ~= '' then
        call('SET', RETRY .. id, used, 'PX', string.format('%.0f', wait + math.max(kept, 88400000)))
    end
end

for i = 1, letters do
    local number = tonumber(ARGV[at])
    if not is_refused[number] then
        local id = ARGV[tries + 4 * number]
        call('HSET', DEAD_LETTERS, id, ARGV[at + 1])
        call('ZADD', DEAD_INDEX, string.format('%.0f', now), id)
    end
    at = at + 2
end
for _, manner in pairs(manners) do
    if manner.counters ~= '' and manner.count > 0 then
        call('HINCRBY', manner.counters, manner.ending, manner.count)
        if manner.took ~= '' then call('HINCRBY', manner.counters, manner.took, manner.count) end
    end
end
-- A change of its own ends a client's tracking of a queue without telling it; a read renews it.
for _, queue in ipairs(KEYS) do call('ZCARD', queue) end
return refused
