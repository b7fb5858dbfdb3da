"""The simulator's recordings: noise as WAV, the same bytes whenever they are fetched."""

import struct
from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from jobs.errors import ValidationError
from jobs.privacy.masking import mask_url
from jobs.voice.simulator.chance import chance

SAMPLES_PER_SECOND: Final = 8000
CHUNK: Final = 64 * 1024
"""Bytes."""
_HEADER: Final = struct.Struct("<4sI4s4sIHHIIHH4sI")


def recording_url(call_id: UUID) -> str:
    """Where the call's recording is fetched."""
    return f"simulator://recordings/{call_id}"


def recorded_call(url: str) -> UUID:
    """The call whose recording is at `url`. Raises ValidationError where that is not ours."""
    try:
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) == ("simulator", "recordings"):
            return UUID(parts.path.removeprefix("/"))
    except ValueError:
        pass
    raise ValidationError(f"the simulator has no recordings at {mask_url(url)}")


def wav_size(seconds: int) -> int:
    """Bytes of a recording, its header included."""
    return _HEADER.size + seconds * SAMPLES_PER_SECOND


def wav_chunk(recording_id: str, seconds: int, index: int) -> bytes:
    """The chunk with that index, counted from 0; empty after the last.

    One channel of 8 bits, 8,000 samples a second.
    """
    size = wav_size(seconds)
    length = min(CHUNK, size - index * CHUNK)
    if length <= 0:
        return b""
    noise = chance(recording_id, index).randbytes(length)
    return _header(size) + noise[_HEADER.size :] if index == 0 else noise


def _header(size: int) -> bytes:
    pcm, channels, bytes_per_frame, bits = 1, 1, 1, 8
    return _HEADER.pack(
        b"RIFF",
        size - 8,
        b"WAVE",
        b"fmt ",
        16,  # bytes of this part
        pcm,
        channels,
        SAMPLES_PER_SECOND,
        SAMPLES_PER_SECOND * bytes_per_frame,
        bytes_per_frame,
        bits,
        b"data",
        size - _HEADER.size,
    )
