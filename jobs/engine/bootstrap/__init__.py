"""Bootstrap: from settings classes to running worker processes.

- `worker_settings`: `EngineSettings`, the base of settings classes.
- `workers`: workers from settings classes.
- `supervisor`: several worker processes.
- `event_loop`: the event loop of a worker process.
"""
