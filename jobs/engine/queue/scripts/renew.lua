-- Renews leases. A lease that lapsed unnoticed is taken up again; one that someone else holds, or
-- whose job is over, is lost.
--
-- KEYS  queues
-- ARGV  lease in ms; for each: id, token, score, queue number
-- returns the numbers, from 0, of the leases that are lost
local lost, owners = {}, {}
for at = 2, #ARGV, 4 do owners[#owners + 1] = IN_PROGRESS .. ARGV[at] end
local held = redis.call('MGET', unpack(owners))
for i, owner in ipairs(owners) do
    local at = 2 + (i - 1) * 4
    if held[i] == ARGV[at + 1] then
        redis.call('PEXPIRE', owner, ARGV[1])
    elseif not held[i]
        and redis.call('ZSCORE', KEYS[tonumber(ARGV[at + 3])], ARGV[at]) == '-' .. ARGV[at + 2] then
        redis.call('SET', owner, ARGV[at + 1], 'PX', ARGV[1])
    else
        lost[#lost + 1] = i - 1
    end
end
return lost
