-- One MSETEX costs a third of as many SETs.
local HAS_MSETEX = (redis.VALKEY_VERSION_NUM or 0) >= 0x00090100 or
                   (redis.REDIS_VERSION_NUM or 0) >= 0x00080400

-- Sets keys with a time to live in one command.
-- entries: key, value, key, value, ...; ttl: in ms; condition: 'NX' to set the keys only if none of
-- them exists, or nil.
-- Returns whether the keys were set: not for a single key or too many keys, and not if the server
-- lacks the command or the user may not call it.
local function set_all(entries, ttl, condition)
    local size = #entries
    if not HAS_MSETEX or size < 4 or size > 4000 then return false end
    entries[size + 1], entries[size + 2], entries[size + 3] = 'PX', ttl, condition
    local done = redis.pcall('MSETEX', size / 2, unpack(entries)) == 1
    entries[size + 1], entries[size + 2], entries[size + 3] = nil, nil, nil
    return done
end

