"""Monitoring: what becomes of outcomes, and the heartbeats of workers.

- `counters`: counters and histograms in Redis, shared by all workers.
- `outcome_log`: log lines about outcomes.
- `alerts`: alerts about dead letters.
- `health`: heartbeats of workers.
- `log_masking`: masking of log lines.
- `aof_ledger`: a ledger of all jobs, from the append-only file of Redis.
"""
