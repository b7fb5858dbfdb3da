"""The in-memory twin of the PostgreSQL store, which passes the same contract suite.

- `store`: the store and its unit of work.
- `state`: the tables.
- `leads`, `campaigns`, `calls`, `analytics`: the repositories.
"""

from jobs.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
