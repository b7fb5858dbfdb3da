"""The voice provider: its protocol, and the simulator, in this process or in another."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.clock import Clock
from jobs.errors import UsageError, ValidationError
from jobs.privacy.masking import mask_url
from jobs.voice.protocol import Sink, VoiceProvider
from jobs.voice.simulator.faults import Disorder, Trouble
from jobs.voice.simulator.options import parse_options
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
    "open_voice",
    "serve",
]


async def open_voice(url: str, *, clock: Clock, sink: Sink) -> VoiceProvider:
    """The provider that the setting VOICE_URL names; its callbacks go to `sink`.

    `simulator:` dials in this process, and forgets its calls with it; for its options see
    `jobs.voice.simulator.options`. `simulator+unix:/path` asks the one that `serve` offers there.
    Raises
    UsageError.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # without its text, which quotes parts of the URL
        raise UsageError(f"VOICE_URL: not a URL: {mask_url(url)}") from None
    path = unquote(parts.path)
    try:
        if parts.scheme == "simulator" and not (parts.netloc or path):
            options = parse_options(parts.query)
            return Simulator(
                options.plan,
                clock,
                sink,
                seed=options.seed,
                disorder=options.disorder,
                trouble=options.trouble,
                spacing=options.spacing,
            )
    except (ValueError, ValidationError) as error:
        raise UsageError(f"VOICE_URL: {error}") from None
    if parts.scheme == "simulator+unix" and path.startswith("/") and not parts.query:
        client = SimulatorClient(Path(path), sink)
        await client.open()
        return client
    raise UsageError(
        f"VOICE_URL: a URL of the scheme {parts.scheme!r} and this form is unknown;"
        " use simulator: or simulator+unix:/path/of/socket"
    )
