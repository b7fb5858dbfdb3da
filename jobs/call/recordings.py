"""Call recordings: streamed from the provider into the recordings store, with a checksum."""

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


class _Measured:
    """Passes chunks on, and knows their checksum and size afterwards."""

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
                raise ValidationError(f"the recording is larger than {MAX_BYTES} bytes")
            yield chunk


@job("call.ingest_recording", timeout=300)
@retry()
async def ingest_recording(ctx: JobContext, call_id: UUID, recording_id: str, url: str) -> str:
    """Stores a recording once; answers its path. Running it again replaces it with itself.

    Raises ValidationError for one that cannot be stored, which is then not looked for again.
    """
    try:
        path, measured = await _stored(ctx, call_id, recording_id, url)
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
                sha256=measured.sha256,
                size=measured.size,
                stored_at=ctx["clock"].now(),
            )
        )
        await work.calls.mark_fetched(call_id, recording_id, ctx["clock"].now())
    return path


async def _stored(
    ctx: JobContext, call_id: UUID, recording_id: str, url: str
) -> tuple[str, _Measured]:
    """Where the recording now lies, and its measures."""
    if not recording_id.isalnum():
        raise ValidationError(f"the recording of call {call_id} has no usable id")
    path = f"{call_id}/{recording_id}.wav"
    measured = _Measured(ctx["voice"].recording(url))
    try:
        await obstore.put_async(ctx["recordings"], path, aiter(measured))
    except BaseError as error:
        # Its first line only, and without it as the cause: the rest shows the store's URL.
        text = str(error).splitlines()[0]
        raise ExternalServiceError(f"the recordings store failed: {mask_text(text)}") from None
    return path, measured
