-- Renews leases. A lease that expired without being noticed is taken up again. A lease is lost if
-- another worker holds the job or the job is finished.
--
-- KEYS
--   names of the queues
-- ARGV
--   1   lease in ms
--   2…  for each claim: id, token, score, queue number
-- Returns the indexes (from 0) of the lost leases.
local lease = ARGV[1]
local lost, leases = {}, {}
for start = 2, #ARGV, 4 do leases[#leases + 1] = IN_PROGRESS .. ARGV[start] end
local owners = redis.call('MGET', unpack(leases))
for i, key in ipairs(leases) do
    local start = 2 + (i - 1) * 4
    local id, token, score = ARGV[start], ARGV[start + 1], ARGV[start + 2]
    local queue = KEYS[tonumber(ARGV[start + 3])]
    if owners[i] == token then
        redis.call('PEXPIRE', key, lease)
    elseif not owners[i] and redis.call('ZSCORE', queue, id) == '-' .. score then
        redis.call('SET', key, token, 'PX', lease)
    else
        lost[#lost + 1] = i - 1
    end
end
return lost
