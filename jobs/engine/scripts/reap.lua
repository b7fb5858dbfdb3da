-- Puts jobs back whose lease has lapsed: claimed (a negative score), and nobody's any more.
--
-- KEYS  queue
-- ARGV  where to start, how many to look at, ms for which lapses are remembered,
--       time in ms after which nothing is looked at
-- returns {how many were looked at, ids that were put back, now}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now > tonumber(ARGV[4]) then return {0, {}, now} end
local claimed = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(0', 'WITHSCORES', 'LIMIT', ARGV[1], ARGV[2])
if #claimed == 0 then return {0, {}, now} end
local owners = {}
for i = 1, #claimed, 2 do owners[#owners + 1] = IN_PROGRESS .. claimed[i] end
local held = redis.call('MGET', unpack(owners))
local back = {}
for i = 1, #owners do
    if not held[i] then
        local id, score = claimed[2 * i - 1], claimed[2 * i]
        redis.call('ZADD', KEYS[1], 'XX', string.sub(score, 2), id)
        redis.call('HINCRBY', LOST, id, 1)
        back[#back + 1] = id
    end
end
if #back > 0 then redis.call('PEXPIRE', LOST, ARGV[3]) end
return {#owners, back, now}
