"""Call recordings: streamed from the provider to the recordings store, with a checksum."""

import hashlib
from collections.abc import AsyncIterator
from uuid import UUID

import obstore
from obstore.exceptions import BaseError

from jobs.context import JobContext
from jobs.engine import job, retry
from jobs.errors import ExternalServiceError, ValidationError
from jobs.privacy.masking import mask_text
from jobs.store.model import Recording

MAX_BYTES = 512 * 1024 * 1024
"""Maximum size of a recording."""


class _MeasuredStream:
    """Iterates over chunks, and computes their SHA-256 and size on the way."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._sha256 = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            self._sha256.update(chunk)
            self.size += len(chunk)
            if self.size > MAX_BYTES:
                raise ValidationError(f"recording is larger than {MAX_BYTES} bytes")
            yield chunk


@job("call.ingest_recording", timeout=300)
@retry()
async def ingest_recording(ctx: JobContext, call_id: UUID, recording_id: str, url: str) -> str:
    """Store a recording; a second run replaces it with itself.

    Args:
        ctx: Job context.
        call_id: Call of the recording.
        recording_id: The provider's id of the recording.
        url: The provider's URL of the recording.

    Returns:
        Path of the recording in the recordings store.

    Raises:
        ValidationError: The recording cannot be stored, and is not requested again.
        ExternalServiceError: The provider or the recordings store failed.
    """
    try:
        path, stream = await _store_recording(ctx, call_id, recording_id, url)
    except ValidationError:
        async with ctx["store"].begin() as work:
            await work.calls.mark_fetched(call_id, recording_id, ctx["clock"].now())
        raise
    async with ctx["store"].begin() as work:
        # The recording first, since it locks its call, and calls are locked before events.
        await work.calls.add_recording(
            Recording(
                call_id=call_id,
                provider_id=recording_id,
                path=path,
                sha256=stream.sha256,
                size=stream.size,
                stored_at=ctx["clock"].now(),
            )
        )
        await work.calls.mark_fetched(call_id, recording_id, ctx["clock"].now())
    return path


async def _store_recording(
    ctx: JobContext, call_id: UUID, recording_id: str, url: str
) -> tuple[str, _MeasuredStream]:
    """Store a recording, and return its path and its measured stream."""
    if not recording_id.isalnum():
        raise ValidationError(
            f"recording of call {call_id} has an invalid id: use letters and digits"
        )
    path = f"{call_id}/{recording_id}.wav"
    stream = _MeasuredStream(ctx["voice"].recording(url))
    try:
        await obstore.put_async(ctx["recordings"], path, aiter(stream))
    except BaseError as error:
        # Only the first line, and no cause: the rest of the text shows the URL of the store.
        text = str(error).splitlines()[0]
        raise ExternalServiceError(f"recordings store failed: {mask_text(text)}") from None
    return path, stream
