"""TODO-MAP."""

from jobs.voice.simulator.provider import Books, Simulator

__all__ = ["Books", "Simulator"]
