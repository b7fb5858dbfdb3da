"""TODO-MAP."""

from jobs.engine.worker.worker import Worker

__all__ = ["Worker"]
