"""The client: enqueues jobs, and waits for their results.

- `pool`: arq's pool with queues by job name.
- `pools`: `create_pool`.
- `pickles`: counts pickled jobs, for a migration from arq.
- `options`: the options of a pool.
- `request`: a job to enqueue, with its times.
- `batch`: many jobs in one script call.
- `job`: the handle of an enqueued job.
"""
