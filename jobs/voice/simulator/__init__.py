"""Simulated voice provider for tests, the demo and chaos runs: follows a plan, dials nobody.

`provider`    the simulator in this process, and its records of requests and calls
`server`      the simulator behind a Unix socket, and the client for it
`peer`        requests and replies in both directions over one connection
`plan`        the script of each call: seeded at random, or replayed from a recorded campaign
`script`      the events of one call, and its state at any moment
`callbacks`   delivery of events to sinks, in batches, at least once
`faults`      faults of callbacks (`Disorder`) and of requests (`Trouble`)
`audio`       recordings: generated noise in WAV format
`options`     the query string of a `simulator:` URL
`chance`      random numbers that depend on their seed only
"""

from jobs.voice.simulator.faults import Disorder, Trouble
from jobs.voice.simulator.plan import Mix, Plan, Recorded, ReplayPlan, SeededPlan
from jobs.voice.simulator.provider import ProviderRecords, Simulator
from jobs.voice.simulator.server import SimulatorClient, serve

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
    "serve",
]
