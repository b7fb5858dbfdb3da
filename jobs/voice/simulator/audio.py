"""Recordings of the simulator: noise in WAV format, the same bytes at every download."""

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
    """Return the URL of a call's recording."""
    return f"simulator://recordings/{call_id}"


def recorded_call(url: str) -> UUID:
    """Return the call that a recording URL belongs to.

    Raises:
        ValidationError: The URL is not one of the simulator's.
    """
    try:
        parts = urlsplit(url)
        if (parts.scheme, parts.netloc) == ("simulator", "recordings"):
            return UUID(parts.path.removeprefix("/"))
    except ValueError:
        pass
    raise ValidationError(f"not a recording URL of the simulator: {mask_url(url)}")


def wav_size(seconds: int) -> int:
    """Return the size of a recording of `seconds` seconds, in bytes, including its header."""
    return _HEADER.size + seconds * SAMPLES_PER_SECOND


def wav_chunk(recording_id: str, seconds: int, index: int) -> bytes:
    """Return one chunk of a recording: mono, 8 bits per sample, 8,000 samples per second.

    Args:
        recording_id: Seed of the noise.
        seconds: Length of the recording.
        index: Index of the chunk, from 0.

    Returns:
        At most CHUNK bytes; empty after the last chunk.
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
        16,  # size of this chunk, in bytes
        pcm,
        channels,
        SAMPLES_PER_SECOND,
        SAMPLES_PER_SECOND * bytes_per_frame,
        bytes_per_frame,
        bits,
        b"data",
        size - _HEADER.size,
    )
