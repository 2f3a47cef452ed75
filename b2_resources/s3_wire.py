"""One signed request to an S3 server and its answer, over urllib3's connections.

Trying again is in s3_client.py; what to ask for is in s3_store.py and beside it.
"""

import hashlib
import io
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager, ProxyManager, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NewConnectionError,
    ProxyError,
    SSLError,
)
from urllib3.response import HTTPResponse
from urllib3.util import make_headers

from b2_resources.meter import Meter
from b2_resources.s3_config import S3Config
from b2_resources.s3_errors import untrusted_error
from b2_resources.s3_signature import Query, Signer, target_of
from outreach_core.errors import SettingsError

SEND_BYTES = 64 * 1024
"""A body leaves in blocks of this size, and progress is told so. urllib3 gives each block the
time to connect, so a line of 7 KB a second is still served."""
CONNECT_SECONDS = 10
CONNECTIONS = 64
"""Kept open."""
KEEP_ALIVE_SECONDS = 30
"""Middle boxes forget an idle connection without a word; the system speaks up before that."""
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
            response = self._pool.urlopen(
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
        return NoAnswerError(_says(error), maybe_worked=not isinstance(cause, NOTHING_SENT))

    @cached_property
    def _pool(self) -> HTTPConnectionPool:
        endpoint = urlsplit(self._config.endpoint)
        is_tls = endpoint.scheme == "https"
        proxy = _proxy_for(endpoint.hostname or "") if is_tls else None  # http is this machine
        context = _tls_context() if is_tls else None
        options = {"maxsize": CONNECTIONS, "socket_options": _socket_options()}
        if context:
            options["ssl_context"] = context
        manager = _through(proxy, options) if proxy else PoolManager(**options)  # type: ignore[arg-type]
        pool = manager.connection_from_url(self._config.endpoint)
        pool.ConnectionCls = _TlsConnection if is_tls else _Connection
        return pool


class _Connection(HTTPConnection):
    """Not used again after a 5xx: B2 says that another one may reach another pod."""

    _was_in_trouble = False

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as in urllib3
        response = super().getresponse()
        self._was_in_trouble = response.status >= 500
        return response

    @property
    def is_connected(self) -> bool:
        """Asked by the pool before it hands the connection out again; it closes one that is not."""
        return not self._was_in_trouble and super().is_connected


class _TlsConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


def _proxy_for(host: str) -> str | None:
    proxy = getproxies().get("https")
    if not proxy or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _through(proxy: str, options: dict[str, object]) -> ProxyManager:
    try:
        parts = urlsplit(proxy)
        user = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        headers = make_headers(proxy_basic_auth=user) if parts.username else None
        context = options["ssl_context"]
        return ProxyManager(
            proxy,
            proxy_headers=headers,
            proxy_ssl_context=context,  # type: ignore[arg-type]
            **options,  # type: ignore[arg-type]
        )
    except (HTTPError, ValueError):  # neither names it: it may hold a password
        raise SettingsError("HTTPS_PROXY is no proxy: expected http://<host>:<port>") from None


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not context.cert_store_stats()["x509_ca"]:  # a slim container without any
        context.load_verify_locations(certifi.where())
    return context


def _socket_options() -> list[tuple[int, int, int]]:
    kept = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    if hasattr(socket, "TCP_KEEPIDLE"):  # not everywhere
        kept.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE_SECONDS))
    return kept


def _says(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
