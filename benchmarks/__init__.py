"""Benchmarks of the engine against other job libraries: `make bench` or `python -m benchmarks`.

`lineup`        contestants, their versions and settings
`contestants`   one module per library, run in its own process
`environments`  virtual environments of the other libraries
`server`        Redis server shared by all contestants
`arena`         runs contestants' processes and reads their reports
`plan`          rounds, scale, and the contestants that take part
`throughput`    jobs per second and CPU per job
`enqueuing`     jobs enqueued per second
`latency`       time from enqueue to start
`depth`         cost per job in a long queue, and memory
`idle`          cost of an idle worker
`tables`        results as Markdown tables
`outbox`        relay rate and notification cost; a program of its own
"""
