"""One signed request to an S3 server and its answer, over connections that are kept open.

Trying again is in s3_client.py; what to ask for is in s3_store.py and beside it.
"""

import hashlib
import io
import select
import ssl
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi

from b2_resources.meter import Meter
from b2_resources.s3_config import S3Config
from b2_resources.s3_signature import Query, query_string, signature_headers

SEND_BYTES = 256 * 1024
"""A body leaves in blocks of this size; the timeout counts for each, and progress is told so."""
CONNECT_SECONDS = 10
IDLE_SECONDS = 45
"""A connection idle for longer is not used again: middle boxes forget those without a word."""
IDLE_CONNECTIONS = 64
NO_BYTES = hashlib.sha256(b"").hexdigest()
FAULTS = (OSError, HTTPException, ssl.SSLError)


class NoAnswerError(Exception):
    """The connection failed. `maybe_worked`: the server may have got the whole request."""

    def __init__(self, says: str, *, maybe_worked: bool) -> None:
        super().__init__(says)
        self.maybe_worked = maybe_worked


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request. Header names are lower-case; `key` is empty for the bucket itself."""

    method: str
    key: str = ""
    query: Query = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    sha256: str = NO_BYTES
    """Of the body."""


class Reply:
    """An answer whose body is still to come. Read it to the end or close it."""

    def __init__(self, wire: "Wire", connection: HTTPConnection, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self._wire, self._connection, self._response = wire, connection, response
        self._is_done = False

    def read(self) -> bytes:
        """The whole body. Raises NoAnswerError when it breaks off."""
        return b"".join(self.blocks(io.DEFAULT_BUFFER_SIZE * 8))

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """The body; raises NoAnswerError when it breaks off."""
        try:
            while block := self._response.read(block_bytes):
                yield block
            if self._response.length:  # http.client takes an early end for the end
                raise NoAnswerError("the answer broke off", maybe_worked=True)
        except FAULTS as error:
            self.close()
            raise NoAnswerError(_says(error), maybe_worked=True) from None
        # A server in trouble is asked again on another connection: B2 says so of its pods.
        if self.status >= 500 or self._response.will_close:
            self.close()
        elif not self._is_done:
            self._is_done = True
            self._wire.keep(self._connection)

    def close(self) -> None:
        """The rest of the body is not wanted, nor is the connection. Harmless after its end."""
        if not self._is_done:
            self._is_done = True
            self._response.close()
            self._connection.close()


class Wire:
    """Connections to one endpoint. Safe to use from several threads."""

    def __init__(self, config: S3Config, meter: Meter) -> None:
        self._config, self._meter = config, meter
        self._endpoint = urlsplit(config.endpoint)
        self._idle: deque[tuple[float, HTTPConnection]] = deque()
        weakref.finalize(self, _close_all, self._idle)
        self._tls: ssl.SSLContext | None = None

    def send(self, ask: Ask) -> Reply:
        """The answer's head, whatever its status. Raises NoAnswerError."""
        path = quote(f"/{self._config.bucket}/{ask.key}".removesuffix("/") or "/", safe="/")
        query = query_string(ask.query)
        headers = self._signed(ask, path)
        connection, is_new = self._connection()
        sent = False
        try:
            if is_new:
                connection.connect()
                connection.sock.settimeout(self._config.answer_seconds)
            connection.putrequest(
                ask.method,
                f"{path}?{query}" if query else path,
                skip_host=True,
                skip_accept_encoding=True,
            )
            for name, value in headers.items():
                connection.putheader(name, value)
            sent = True
            self._send_body(connection, ask)
            return Reply(self, connection, connection.getresponse())
        except FAULTS as error:
            connection.close()
            raise NoAnswerError(_says(error), maybe_worked=sent) from None

    def keep(self, connection: HTTPConnection) -> None:
        """Its answer was read to the end: it may be used again."""
        if len(self._idle) >= IDLE_CONNECTIONS:
            connection.close()
            return
        self._idle.append((time.monotonic(), connection))

    def _send_body(self, connection: HTTPConnection, ask: Ask) -> None:
        if len(ask.body) <= SEND_BYTES:
            connection.endheaders(ask.body or None)
            self._meter.sent(len(ask.body))
            return
        connection.endheaders()
        body = memoryview(ask.body)
        for start in range(0, len(body), SEND_BYTES):
            block = body[start : start + SEND_BYTES]
            connection.send(block)
            self._meter.sent(len(block))

    def _signed(self, ask: Ask, path: str) -> dict[str, str]:
        headers = {"host": self._endpoint.netloc, **ask.headers}
        headers |= signature_headers(
            method=ask.method,
            path=path,
            query=ask.query,
            headers=headers,
            sha256=ask.sha256,
            access=(self._config.region, self._config.key_id, self._config.application_key),
            now=datetime.now(UTC),  # noqa: TID251 an edge: a signature is of this moment
        )
        if ask.method in ("PUT", "POST"):
            headers["content-length"] = str(len(ask.body))
        headers["user-agent"] = "outreach-workbench"
        return headers

    def _connection(self) -> tuple[HTTPConnection, bool]:
        while self._idle:
            try:
                since, connection = self._idle.pop()
            except IndexError:  # another thread was faster
                break
            # Readable though nothing was asked: the server has closed it.
            fresh = time.monotonic() - since < IDLE_SECONDS
            if fresh and connection.sock and not _is_readable(connection):
                return connection, False
            connection.close()
        return self._new_connection(), True

    def _new_connection(self) -> HTTPConnection:
        host, port = self._endpoint.hostname or "", self._endpoint.port
        if self._endpoint.scheme == "http":  # this machine
            return HTTPConnection(host, port, timeout=CONNECT_SECONDS)
        self._tls = self._tls or _tls_context()
        proxy = urlsplit(getproxies().get("https", ""))
        if proxy.hostname and not proxy_bypass(host):
            through = HTTPSConnection(
                proxy.hostname, proxy.port, timeout=CONNECT_SECONDS, context=self._tls
            )
            through.set_tunnel(host, port)
            return through
        return HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=self._tls)


def _close_all(idle: deque[tuple[float, HTTPConnection]]) -> None:
    while idle:
        idle.pop()[1].close()


def _is_readable(connection: HTTPConnection) -> bool:
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([connection.sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:  # a slim container without any
        context.load_verify_locations(certifi.where())
    return context


def _says(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
