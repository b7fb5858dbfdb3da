-- Discards dead letters, unless a newer dead letter has replaced the one that was read.
--
-- ARGV
--   1  msgpack list: id, time of failure in ms, id, time of failure in ms, ...
-- Returns the number of discarded dead letters.
local entries = cmsgpack.unpack(ARGV[1])
local discarded = 0

for i = 1, #entries, 2 do
    local id, failed_ms = entries[i], entries[i + 1]
    if redis.call('ZSCORE', DEAD_INDEX, id) == failed_ms then
        redis.call('HDEL', DEAD_LETTERS, id)
        redis.call('ZREM', DEAD_INDEX, id)
        discarded = discarded + 1
    end
end
return discarded
