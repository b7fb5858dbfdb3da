"""Voice provider URLs: the setting VOICE_URL, opened as a provider."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from jobs.clock import Clock
from jobs.errors import UsageError, ValidationError
from jobs.privacy.masking import mask_url
from jobs.voice.protocol import Sink, VoiceProvider
from jobs.voice.simulator.options import parse_options
from jobs.voice.simulator.provider import Simulator
from jobs.voice.simulator.server import SimulatorClient


async def open_voice(url: str, *, clock: Clock, sink: Sink) -> VoiceProvider:
    """Open the voice provider that a URL names.

    Args:
        url: `simulator:` for a simulator in this process, whose calls end with the process, with
            the options of `jobs.voice.simulator.options` as the query string; or
            `simulator+unix:/path/of/socket` for a simulator that another process serves there.
        clock: Business clock of a simulator in this process.
        sink: Receives the provider's events.

    Returns:
        The open provider; the caller closes it.

    Raises:
        UsageError: The URL is malformed, or its scheme or one of its options is unknown.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its message quotes parts of the URL
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
        f"VOICE_URL: unknown provider, scheme {parts.scheme!r}: "
        "use simulator: or simulator+unix:/path/of/socket"
    )
