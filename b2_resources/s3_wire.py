"""One signed request to an S3 server and its answer, over urllib3.

Its connections are made in s3_connections.py. Trying again is in s3_client.py; what to ask for is
in s3_store.py and beside it.
"""

import hashlib
import io
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from urllib3 import BaseHTTPResponse, Timeout
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)

from b2_resources.meter import Meter
from b2_resources.s3_config import S3Config
from b2_resources.s3_connections import CONNECT_SECONDS, connections_to
from b2_resources.s3_errors import untrusted_error
from b2_resources.s3_signature import Query, Signer, target_of

SEND_BYTES = 64 * 1024
"""A body leaves in blocks of this size, and progress is told so. urllib3 gives each block the
time to connect, so a line of 7 KB a second is still served."""
NO_BYTES = hashlib.sha256(b"").hexdigest()
FAULTS = (HTTPError, OSError)
NOTHING_SENT = (NewConnectionError, ConnectTimeoutError)


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
    is_signed: bool = True
    """False to see what strangers are shown."""


class Reply:
    """An answer whose body is still to come. Read it to the end or close it."""

    def __init__(self, response: BaseHTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.headers.items()}
        self._response = response

    def read(self) -> bytes:
        """The whole body. Raises NoAnswerError when it breaks off."""
        return b"".join(self.blocks(io.DEFAULT_BUFFER_SIZE * 8))

    def blocks(self, block_bytes: int) -> Iterator[bytes]:
        """The body; raises NoAnswerError when it breaks off."""
        try:
            yield from self._response.stream(block_bytes, decode_content=False)
            self._response.release_conn()  # an empty body is never read, which would do it
        except FAULTS as error:
            self.close()
            raise NoAnswerError(_says(error), maybe_worked=True) from None

    def close(self) -> None:
        """The rest of the body is not wanted, nor is the connection. Harmless after its end."""
        self._response.close()
        self._response.release_conn()


class Wire:
    """Connections to one endpoint. Safe to use from several threads."""

    def __init__(self, config: S3Config, meter: Meter) -> None:
        self._config, self._meter = config, meter
        self._host = urlsplit(config.endpoint).netloc
        self._signer = Signer(config)
        self._connections = connections_to(config.endpoint)

    def send(self, ask: Ask) -> Reply:
        """The answer's head, whatever its status.

        Raises NoAnswerError, and StoreRefusedError where the certificate is not trusted.
        """
        target = target_of(f"/{self._config.bucket}/{ask.key}".removesuffix("/"), ask.query)
        headers: dict[str, str] = {"host": self._host, **ask.headers}
        if ask.is_signed:
            headers = self._signer.headers(ask.method, target, headers, ask.sha256)
        headers["user-agent"] = "outreach-workbench"
        has_body = ask.method in ("PUT", "POST")
        if has_body:
            headers["content-length"] = str(len(ask.body))
        try:
            response = self._connections.urlopen(
                ask.method,
                target,
                body=self._blocks_of(ask.body) if has_body else None,
                headers=headers,
                retries=False,
                redirect=False,
                timeout=Timeout(connect=CONNECT_SECONDS, read=self._config.answer_seconds),
                preload_content=False,
                decode_content=False,
            )
        except FAULTS as error:
            raise self._trouble(error) from None
        return Reply(response)

    def _blocks_of(self, body: bytes) -> Iterator[bytes]:
        view = memoryview(body)
        for start in range(0, len(view), SEND_BYTES):
            block = view[start : start + SEND_BYTES]
            yield cast("bytes", block)  # a socket takes it as well, and nothing is copied
            self._meter.sent(len(block))

    def _trouble(self, error: BaseException) -> Exception:
        # urllib3 says ProxyError for every connection through a proxy that has been closed, also
        # when the answer was lost: what counts is the error within.
        cause = error.original_error if isinstance(error, ProxyError) else error
        within = cause.args[0] if isinstance(cause, SSLError) and cause.args else cause
        if isinstance(within, ssl.SSLCertVerificationError):
            return untrusted_error(self._config.endpoint, within.verify_message or str(within))
        return NoAnswerError(_says(cause), maybe_worked=not isinstance(cause, NOTHING_SENT))


def _says(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
