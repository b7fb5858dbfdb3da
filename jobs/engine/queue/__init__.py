"""The wire format in Redis. Only this package spells Redis keys.

Modules:
    keys: Every Redis key and key prefix.
    scripts: Lua scripts that claim, enqueue, finish, renew and reclaim jobs.
    claim: Records exchanged with the scripts: claims and completions.
    operations: A worker's calls: claim, renew, finish, reclaim.
    outcome: Record of a finished execution.
    serializer: JSON payloads and results.
    names: Maps a job name to its queue.
    servers: Maps a queue to its Redis server, and resolves arq's settings lazily.
    dead_letter: Records of dead letters, filters and groups.
    dead_letter_store: Lists, retries and discards dead letters.
    inspection: Reads the jobs of a queue and the kept results.
"""
