"""TLS proxy for a server without TLS. It also accepts clients without TLS."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Open = Callable[[], Awaitable[Streams]]
_CLIENT_HELLO = b"\x16"


@dataclass(frozen=True)
class Certificates:
    """Test certificates.

    Attributes:
        authority: PEM file of the certificate authority.
        client: PEM file of the client's certificate and key.
        context: SSL context of the server. It requires a client certificate.
    """

    authority: Path
    client: Path
    context: ssl.SSLContext

    @classmethod
    def create_in(cls, folder: Path) -> "Certificates":
        authority = trustme.CA()
        made = cls(folder / "ca.pem", folder / "client.pem", ssl.create_default_context())
        authority.cert_pem.write_to_path(made.authority)
        authority.issue_cert("client@example.com").private_key_and_cert_chain_pem.write_to_path(
            made.client
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.verify_mode = ssl.CERT_REQUIRED
        authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
        authority.configure_trust(context)
        return cls(made.authority, made.client, context)


@asynccontextmanager
async def tls_front(context: ssl.SSLContext, behind: Open) -> AsyncIterator[int]:
    """Listen on a port and forward each connection to one that `behind` opens."""
    loop = asyncio.get_running_loop()
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    tasks: set[asyncio.Task[None]] = set()

    async def accept() -> None:
        while True:
            connection, _ = await loop.sock_accept(listener)
            tasks.add(asyncio.create_task(_forward(connection, context, behind)))

    tasks.add(asyncio.create_task(accept()))
    try:
        yield listener.getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()


async def _forward(connection: socket.socket, context: ssl.SSLContext, behind: Open) -> None:
    first = await _peek(connection)
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    loop = asyncio.get_running_loop()
    tls = context if first == _CLIENT_HELLO else None
    try:
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, ssl=tls)
    except OSError:  # includes SSLError: a client without a certificate
        return
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    server_reader, server_writer = await behind()
    try:
        await asyncio.wait(
            [
                asyncio.create_task(_pump(reader, server_writer)),
                asyncio.create_task(_pump(server_reader, writer)),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        writer.close()
        server_writer.close()


async def _peek(connection: socket.socket) -> bytes:
    """Return the first byte without consuming it."""
    readable = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
