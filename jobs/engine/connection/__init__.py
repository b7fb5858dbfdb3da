"""The connection to Redis. This package knows nothing of jobs.

Modules:
    urls: Parses a Redis URL or arq's settings into redis-py options.
    connect: Opens a connection pool and checks the server's version.
    raw_connection: Opens a single connection with the options of a pool.
    protocol: Redis protocol on a bare asyncio transport.
    script: Lua scripts and the packing of their arguments.
    script_channel: Pipelined script calls and client tracking on one connection.
    failures: Classifies Redis errors as transient or permanent.
    outage: Log lines and backoff while Redis is unavailable.
    backoff: Capped exponential backoff.
"""
