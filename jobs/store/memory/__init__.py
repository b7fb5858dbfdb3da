"""The in-memory twin of the PostgreSQL store, for unit tests; it passes the same contract suite."""

from jobs.store.memory.store import MemoryStore

__all__ = ["MemoryStore"]
