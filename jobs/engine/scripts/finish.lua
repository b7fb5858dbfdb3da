-- Ends many tries. A try is refused when its job has meanwhile been claimed, or finished, by
-- someone else: its token is gone and the job is not where the claim had put it.
-- What frees memory comes first: Redis then lets the rest through even when it is full.
--
-- KEYS  queues
-- ARGV  number of tries; for each: id, token, score, queue number, kind, three values, dead letter;
--       then hash, field and increment of each counter
--   kind 'end'    the job is over: result, its time to live in ms (0: for ever), cron mark in ms
--   kind 'absent' the same, for an id without payload: an older result stays
--   kind 'again'  it goes back: delay in ms ('': to its old place), tries used ('': none),
--                 the time in ms that a job is kept after it is due
--   kind 'unknown' the same, counted: nobody here knows its function
-- returns the numbers, from 0, of the tries that were refused
local WIDTH = 9
local count = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local refused, gone, over, results, letters, again = {}, {}, {}, {}, {}, {}

local owners = {}
for i = 1, count do owners[i] = IN_PROGRESS .. ARGV[2 + (i - 1) * WIDTH] end
if count > 0 then owners = redis.call('MGET', unpack(owners)) end

local function is_ours(i, at)
    if owners[i] then return owners[i] == ARGV[at + 1] end
    local score = redis.call('ZSCORE', KEYS[tonumber(ARGV[at + 3])], ARGV[at])
    return score and (score == ARGV[at + 2] or score == '-' .. ARGV[at + 2])
end

for i = 1, count do
    local at = 2 + (i - 1) * WIDTH
    if not is_ours(i, at) then
        refused[#refused + 1] = i - 1
    elseif ARGV[at + 4] == 'again' or ARGV[at + 4] == 'unknown' then
        again[#again + 1] = at
    else
        local id, queue = ARGV[at], tonumber(ARGV[at + 3])
        gone[#gone + 1], gone[#gone + 2] = JOB .. id, RETRY .. id
        if ARGV[at + 7] == '' then gone[#gone + 1] = IN_PROGRESS .. id end
        over[queue] = over[queue] or {}
        over[queue][#over[queue] + 1] = id
        results[#results + 1] = at
    end
    if ARGV[at + 8] ~= '' and refused[#refused] ~= i - 1 then letters[#letters + 1] = at end
end

if #gone > 0 then redis.call('DEL', unpack(gone)) end
local has_aborts = redis.call('EXISTS', ABORT) == 1
local has_lapses = redis.call('EXISTS', LOST) == 1
for queue, ids in pairs(over) do
    redis.call('ZREM', KEYS[queue], unpack(ids))
    if has_aborts then redis.call('ZREM', ABORT, unpack(ids)) end
    if has_lapses then
        redis.call('HDEL', LOST, unpack(ids))
        for i, id in ipairs(ids) do ids[i] = UNKNOWN .. id end
        redis.call('HDEL', LOST, unpack(ids))
    end
end

for _, at in ipairs(results) do
    local id, result, ttl, mark = ARGV[at], ARGV[at + 5], ARGV[at + 6], ARGV[at + 7]
    if result ~= '' then
        local command = {'SET', RESULT .. id, result}
        if ttl ~= '0' then command[4], command[5] = 'PX', ttl end
        if ARGV[at + 4] == 'absent' then command[#command + 1] = 'NX' end
        redis.call(unpack(command))
    end
    if mark ~= '' then redis.call('SET', IN_PROGRESS .. id, FIRED, 'PX', mark) end
end

for _, at in ipairs(again) do
    local id, queue = ARGV[at], KEYS[tonumber(ARGV[at + 3])]
    local score, delay, tries, kept = ARGV[at + 2], ARGV[at + 5], ARGV[at + 6], tonumber(ARGV[at + 7])
    redis.call('DEL', IN_PROGRESS .. id)
    local wait = 0
    if delay == '' then
        redis.call('ZADD', queue, 'XX', score, id)
    else
        wait = tonumber(delay)
        redis.call('ZADD', queue, 'XX', string.format('%.0f', now + wait), id)
        -- The default expiry counts from the due time, so it moves along with it; an expiry that
        -- the producer chose is a deadline, and stays.
        local lives = redis.call('PTTL', JOB .. id)
        if lives > 0 and math.abs(now + lives - tonumber(score) - kept) < 60000 then
            redis.call('PEXPIRE', JOB .. id, string.format('%.0f', wait + kept))
        end
    end
    if ARGV[at + 4] == 'unknown' then redis.call('HINCRBY', LOST, UNKNOWN .. id, 1) end
    if tries ~= '' then
        redis.call('SET', RETRY .. id, tries, 'PX', string.format('%.0f', wait + math.max(kept, 88400000)))
    end
end

for _, at in ipairs(letters) do
    redis.call('HSET', DEAD_LETTERS, ARGV[at], ARGV[at + 8])
    redis.call('ZADD', DEAD_INDEX, string.format('%.0f', now), ARGV[at])
end
for at = 2 + count * WIDTH, #ARGV, 3 do
    redis.call('HINCRBY', ARGV[at], ARGV[at + 1], ARGV[at + 2])
end
-- A change of its own ends a client's tracking of a queue without telling it; a read renews it.
for _, queue in ipairs(KEYS) do redis.call('ZCARD', queue) end
return refused
