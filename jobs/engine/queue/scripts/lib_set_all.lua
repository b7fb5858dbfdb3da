-- One command that sets many keys with a time to live costs a third of as many SETs.
local HAS_MSETEX = (redis.VALKEY_VERSION_NUM or 0) >= 0x00090100 or
                   (redis.REDIS_VERSION_NUM or 0) >= 0x00080400

-- Sets keys to values; 'NX': only where none of the keys exists.
-- entries: key, value, key, value, …; ttl: in ms
-- returns whether it did: not one alone, nor where the server has no such command, or a user may
-- not call it
local function set_all(entries, ttl, condition)
    local size = #entries
    if not HAS_MSETEX or size < 4 or size > 4000 then return false end
    entries[size + 1], entries[size + 2], entries[size + 3] = 'PX', ttl, condition
    local done = redis.pcall('MSETEX', size / 2, unpack(entries)) == 1
    entries[size + 1], entries[size + 2], entries[size + 3] = nil, nil, nil
    return done
end

