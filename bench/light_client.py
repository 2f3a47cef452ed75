"""Many clients that ask a server at once, as lightly as Python can: they share its two cores.

One process, one thread, raw HTTP/1.1 over connections that are kept: a request costs some 0.1 ms of
CPU, where `requests` in 32 threads costs more than the server.
"""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Self
from urllib.parse import urlsplit

LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)


class LightClient(asyncio.Protocol):
    """One connection that asks one thing at a time, with one token."""

    def __init__(self, token: str) -> None:
        self._headers = f"host: api\r\nauthorization: Bearer {token}\r\n"
        self._answer = bytearray()
        self._answered: asyncio.Future[bytes] | None = None
        self._transport: asyncio.Transport | None = None
        self.milliseconds: list[float] = []
        """How long each request took."""

    @classmethod
    async def connected(cls, url: str, token: str = "") -> Self:
        """A client that is connected to the server."""
        parts = urlsplit(url)
        client = cls(token)
        await asyncio.get_running_loop().create_connection(
            lambda: client, parts.hostname, parts.port
        )
        return client

    async def ask(self, method: str, path: str, body: bytes = b"") -> bytes:
        """The body of the answer, which must be a success."""
        head = f"{method} {path} HTTP/1.1\r\n{self._headers}content-length: {len(body)}\r\n"
        if body:
            head += "content-type: application/json\r\n"
        assert self._transport is not None
        self._answered = asyncio.get_running_loop().create_future()
        began = time.perf_counter()
        self._transport.write(head.encode() + b"\r\n" + body)
        answer = await self._answered
        self.milliseconds.append((time.perf_counter() - began) * 1000)
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, block: bytes) -> None:
        """See asyncio.Protocol."""
        self._answer += block
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = LENGTH.search(head + b"\r\n")
        if not end or not length or len(body) < int(length[1]) or self._answered is None:
            return
        self._answer = bytearray()
        if head[9:10] == b"2":
            self._answered.set_result(bytes(body))
        else:
            self._answered.set_exception(AssertionError(f"{head!r} {body!r}"))

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(error or ConnectionError("the server hung up"))


def milliseconds(
    ask: Callable[[LightClient], Awaitable[None]], url: str, tokens: Sequence[str], rounds: int
) -> list[float]:
    """How long each request took, in order; each client asks again as soon as it is answered."""

    async def all_of_them() -> list[float]:
        clients = [await LightClient.connected(url, token) for token in tokens]

        async def one(client: LightClient) -> None:
            for _ in range(rounds):
                await ask(client)

        await asyncio.gather(*(one(client) for client in clients))
        for client in clients:
            client.close()
        return sorted(ms for client in clients for ms in client.milliseconds)

    return asyncio.run(all_of_them())
