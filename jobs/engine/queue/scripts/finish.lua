-- Ends many tries. A try is refused when its job has meanwhile been claimed, or finished, by
-- someone else: its token is gone and the job is not where the claim, or the reaper, had put it.
-- What frees memory comes first: Redis then lets the rest through even when it is full.
--
-- KEYS  queues
-- ARGV  msgpack: {manners, tries, letters}
--   for each manner, which many tries share: {token, queue number, {kind, three values}, {what
--   counts it: a hash ('': nothing) and two of its fields}}
--   for each try: id, score, number of its manner, result
--   for each dead letter: number of its try from 0, letter
--   kind 'end'    the job is over: the result's time to live in ms (0: for ever), cron mark in ms
--                 ('': none), '' where it is known to have used no try before
--   kind 'absent' the same, for an id without payload: an older result stays
--   kind 'again'  it goes back: delay in ms ('': to its old place), tries used ('': none),
--                 the time in ms that a job is kept after it is due
--   kind 'unknown' the same, counted: nobody here knows its function
-- returns the numbers, from 0, of the tries that were refused
local call = redis.call
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local manners, tries, letters = unpack(cmsgpack.unpack(ARGV[1]))
local over = {}  -- by the queue: ids
for i, manner in ipairs(manners) do
    local how, counted = manner[3], manner[4]
    local ends, queue = how[1] == 'end' or how[1] == 'absent', manner[2]
    over[queue] = over[queue] or {}
    manners[i] = {
        token = manner[1], queue = queue, over = over[queue],
        kind = how[1], first = how[2], second = how[3], third = how[4],
        counters = counted[1], ending = counted[2], took = counted[3], count = 0,
        ends = ends, ttl = ends and string.format('%.0f', how[2]),
    }
end
local leases, count = {}, #tries / 4
for i = 1, count do leases[i] = IN_PROGRESS .. tries[4 * i - 3] end
local owners = count > 0 and call('MGET', unpack(leases))

local function is_ours(manner, id, score)
    local found = call('ZSCORE', KEYS[manner.queue], id)
    -- One that is to run again and stands at its old place has been put back already.
    return found and (found == '-' .. score or manner.ends and found == score)
end

local refused, is_refused, gone, ended, again = {}, {}, {}, {}, {}
local freed, ending = 0, 0
for i = 1, count do
    local at = 4 * i - 3
    local id, manner, owner = tries[at], manners[tries[at + 2]], owners[i]
    if owner ~= manner.token and (owner or not is_ours(manner, id, tries[at + 1])) then
        refused[#refused + 1] = i - 1
        is_refused[i - 1] = true
    elseif manner.ends then
        manner.count = manner.count + 1
        freed = freed + 1
        gone[freed] = JOB .. id
        if manner.second == '' then
            freed = freed + 1
            gone[freed] = leases[i]
        end
        if manner.third ~= '' or not owner then
            freed = freed + 1
            gone[freed] = RETRY .. id
        end
        local ids = manner.over
        ending = ending + 1
        ids[#ids + 1], ended[ending] = id, at
    else
        manner.count = manner.count + 1
        again[#again + 1] = at
    end
end

if freed > 0 then call('DEL', unpack(gone)) end
for queue, ids in pairs(over) do
    if ids[1] then call('ZREM', KEYS[queue], unpack(ids)) else over[queue] = nil end
end
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

local results = {}  -- by their time to live: key, result, key, result, …
for i = 1, ending do
    local at = ended[i]
    local id, manner, result = tries[at], manners[tries[at + 2]], tries[at + 3]
    local key, ttl = RESULT .. id, manner.ttl
    if result == '' then
        -- none is kept
    elseif manner.kind == 'end' then
        local together = results[ttl]
        if not together then together = {} results[ttl] = together end
        local size = #together
        together[size + 1], together[size + 2] = key, result
    elseif ttl ~= '0' then
        call('SET', key, result, 'PX', ttl, 'NX')
    else
        call('SET', key, result, 'NX')
    end
    if manner.second ~= '' then call('SET', IN_PROGRESS .. id, FIRED, 'PX', manner.second) end
end
for ttl, together in pairs(results) do
    if ttl == '0' then
        call('MSET', unpack(together))
    elseif not set_all(together, ttl) then
        for i = 1, #together, 2 do call('SET', together[i], together[i + 1], 'PX', ttl) end
    end
end

for _, at in ipairs(again) do
    local id, score, manner = tries[at], tries[at + 1], manners[tries[at + 2]]
    local queue, used, kept = KEYS[manner.queue], manner.second, manner.third
    call('DEL', IN_PROGRESS .. id)
    local wait = 0
    if manner.first == '' then
        call('ZADD', queue, 'XX', score, id)
    else
        wait = manner.first
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

for i = 1, #letters, 2 do
    local number = letters[i]
    if not is_refused[number] then
        local id = tries[4 * number + 1]
        call('HSET', DEAD_LETTERS, id, letters[i + 1])
        call('ZADD', DEAD_INDEX, string.format('%.0f', now), id)
    end
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
