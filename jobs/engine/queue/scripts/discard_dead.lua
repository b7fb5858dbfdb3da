-- Discards dead letters, but none that came in place of the one that was looked at.
--
-- ARGV  msgpack: list of id, time of death in ms, id, time of death, …
-- returns how many
local places = cmsgpack.unpack(ARGV[1])
local buried = 0

for i = 1, #places, 2 do
    local id, died = places[i], places[i + 1]
    if redis.call('ZSCORE', DEAD_INDEX, id) == died then
        redis.call('HDEL', DEAD_LETTERS, id)
        redis.call('ZREM', DEAD_INDEX, id)
        buried = buried + 1
    end
end
return buried
