"""Voice providers: one protocol, and one package per provider.

`protocol`    the requests, answers and events that every provider exchanges with the jobs
`urls`        opens the provider that a URL names
`simulator`   a provider that dials nobody, in this process or behind a Unix socket
"""

from jobs.voice.simulator import (
    Disorder,
    Mix,
    Plan,
    ProviderRecords,
    Recorded,
    ReplayPlan,
    SeededPlan,
    Simulator,
    SimulatorClient,
    Trouble,
    serve,
)
from jobs.voice.urls import open_voice

__all__ = [
    "Disorder",
    "Mix",
    "Plan",
    "ProviderRecords",
    "Recorded",
    "ReplayPlan",
    "SeededPlan",
    "Simulator",
    "SimulatorClient",
    "Trouble",
    "open_voice",
    "serve",
]
