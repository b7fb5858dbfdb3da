"""The worker: claims jobs, runs them, and sends their ends to Redis.

A job passes `fetcher` -> `executor` -> `classify` -> `completion` -> `completer`.

- `worker`: arq's interface and the life cycle.
- `parts`: builds the other parts of a worker and connects them.
- `options`: frozen options of the executor, and arq's counts.
- `capacity`: free slots.
- `fetcher`: claims jobs as slots come free.
- `prefetch`: claimed jobs that wait a moment for a slot.
- `polling`: the time between two claims.
- `handoff`: jobs that producers claim for an idle worker.
- `executor`: runs jobs.
- `execution`: one execution of a job.
- `function_options`: arq's options of a function, with the worker's defaults.
- `deadlines`: timeouts of executions.
- `aborts`: requests of `Job.abort()`.
- `eager_tasks`: tasks that run to their first suspension at once.
- `classify`: decides how a job goes on; pure.
- `completion`: encodes the decision for Redis.
- `completer`: sends completions in batches.
- `job_log`: log lines in the form of arq's worker.
- `leases`: leases of this worker, and jobs of lost workers.
- `heartbeat`: renews leases from a separate thread.
- `periodic`: periodic background tasks.
- `shutdown`: bounded stages of a shutdown.
- `signals`: signal handling in processes that jobs fork.
"""

from jobs.engine.worker.worker import Worker

__all__ = ["Worker"]
