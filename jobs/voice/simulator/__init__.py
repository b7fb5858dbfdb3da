"""TODO-MAP."""

from jobs.voice.simulator.provider import ProviderRecords, Simulator

__all__ = ["ProviderRecords", "Simulator"]
