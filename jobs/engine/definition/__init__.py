"""Jobs: definition, validation of arguments, retries, and one execution of a `@job`.

- `decorator`: `@job`.
- `job`: the definition that `@job` records, and the registry by name.
- `arguments`: validation of arguments against annotations.
- `round_trip`: refuses arguments that would not arrive equal.
- `retry`: `@retry` and retry policies.
- `failure`: failures in exception groups and causes.
- `time_limit`: the time limit of an execution.
- `deadline_timer`: one timer for many deadlines.
- `attempt`: one execution of a `@job`.
- `under_arq`: executions under arq's worker.
"""
