-- Requeues claimed jobs (negative scores) that do not run: jobs whose lease has expired, and jobs
-- of claims whose reply the worker never received.
--
-- KEYS
--   1  name of the queue
-- ARGV
--   1   offset of the first claimed id to check
--   2   maximum number of ids to check
--   3   time in ms for which expired leases are counted
--   4   time in ms after which no lease counts as expired
--   5…  tokens of claims without a reply
-- Returns {number of ids checked, requeued ids, now in ms}.
local queue = KEYS[1]
local offset, limit, counted, expired_until = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local unanswered = {}
for i = 5, #ARGV do unanswered[ARGV[i]] = true end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local may_expire = now <= expired_until
if not may_expire and #ARGV == 4 then return {0, {}, now} end
local claimed = redis.call('ZRANGEBYSCORE', queue, '-inf', '(0', 'WITHSCORES',
                           'LIMIT', offset, limit)
if #claimed == 0 then return {0, {}, now} end
local leases = {}
for i = 1, #claimed, 2 do leases[#leases + 1] = IN_PROGRESS .. claimed[i] end
local owners = redis.call('MGET', unpack(leases))
local requeued = {}
for i = 1, #leases do
    local has_expired = may_expire and not owners[i]
    if has_expired or unanswered[owners[i]] then
        local id, score = claimed[2 * i - 1], claimed[2 * i]
        redis.call('ZADD', queue, 'XX', string.sub(score, 2), id)
        redis.call('DEL', leases[i])
        if has_expired then redis.call('HINCRBY', LOST, id, 1) end
        requeued[#requeued + 1] = id
    end
end
if #requeued > 0 then redis.call('PEXPIRE', LOST, counted) end
return {#leases, requeued, now}
