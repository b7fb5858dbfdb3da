-- Puts jobs back that are claimed (a negative score) and do not run: those whose lease has lapsed,
-- and those of claims whose holder never heard that he has them.
--
-- KEYS  queue
-- ARGV  where to start, how many to look at, ms for which lapses are remembered,
--       time in ms after which nothing has lapsed, tokens of the claims that were not heard of
-- returns {how many were looked at, ids that were put back, now}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local may_lapse, unheard = now <= tonumber(ARGV[4]), {}
for at = 5, #ARGV do unheard[ARGV[at]] = true end
if not may_lapse and #ARGV == 4 then return {0, {}, now} end
local claimed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0', 'WITHSCORES', 'LIMIT', ARGV[1], ARGV[2])
if #claimed == 0 then return {0, {}, now} end
local owners = {}
for i = 1, #claimed, 2 do owners[#owners + 1] = IN_PROGRESS .. claimed[i] end
local held = redis.call('MGET', unpack(owners))
local back = {}
for i = 1, #owners do
    local lapsed = may_lapse and not held[i]
    if lapsed or unheard[held[i]] then
        local id, score = claimed[2 * i - 1], claimed[2 * i]
        redis.call('ZADD', KEYS[1], 'XX', string.sub(score, 2), id)
        redis.call('DEL', owners[i])
        if lapsed then redis.call('HINCRBY', LOST, id, 1) end
        back[#back + 1] = id
    end
end
if #back > 0 then redis.call('PEXPIRE', LOST, ARGV[3]) end
return {#owners, back, now}
