"""A real HTTP proxy before a real S3 server: B2's personality, and faults by dice or by script.

It passes on the Host that the client signed, so signatures stay good. B2's refusals are in
b2_personality.py.
"""

import random
import select
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from b2_resources.s3_config import S3Config
from tests.servers.b2_personality import B2Personality, error_body
from tests.servers.rclone_s3 import BUCKET, RcloneS3

DROPPED = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


class Fault(StrEnum):
    """What may happen to one request."""

    ERROR_500 = "500 InternalError, the request is not passed on"
    SLOW_DOWN = "503 SlowDown with Retry-After, the request is not passed on"
    RESET = "the connection is reset, the request is not passed on"
    LOST_ANSWER = "the request is worked, its answer never comes: the connection is reset"
    HANG = "no answer, the connection stays open, the request is not passed on"
    TRUNCATE = "half the answer's body, then the end of the connection"
    FLIP_UP = "one byte of the request's body is another"
    FLIP_DOWN = "one byte of the answer's body is another"
    SLOW = "the answer comes after a pause"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One request as it came by."""

    method: str
    path: str
    fault: Fault | None
    at: float
    """time.monotonic"""


Dice = Mapping[Fault, float]


class FaultProxy:
    """The proxy. Use it in a `with`; `rates` and `personality` may be changed while it runs."""

    def __init__(self, server: RcloneS3, *, rates: Dice | None = None, seed: int = 0) -> None:
        self.server = server
        self.rates = dict(rates or {})
        self.personality = B2Personality()
        self.seen: list[Seen] = []
        self.connections = 0
        self.retry_after_seconds = 1
        self.slow_seconds = 0.2
        self.endpoint = ""
        self.closing = threading.Event()
        self._random = random.Random(seed)  # noqa: S311 dice, and the same ones again
        self._script: list[tuple[Callable[[str, str], bool], Fault]] = []
        self._lock = threading.Lock()
        self._listener: _Listener | None = None

    def script(self, method: str, part_of_path: str, *faults: Fault) -> None:
        """The next requests of that method with that in their path meet these, one each."""
        with self._lock:
            for fault in faults:
                self._script.append(
                    (lambda m, p: m == method and part_of_path in p, fault),
                )

    def config(self, bucket: str = BUCKET) -> S3Config:
        """How our store gets in through the proxy."""
        return replace(self.server.config(bucket), endpoint=self.endpoint)

    def count(self, method: str, part_of_path: str = "") -> int:
        return sum(s.method == method and part_of_path in s.path for s in self.seen)

    @property
    def faults(self) -> Counter[Fault]:
        return Counter(s.fault for s in self.seen if s.fault)

    def fault_of(self, method: str, path: str) -> Fault | None:
        """What this request meets; noted as seen."""
        with self._lock:
            fault = self._scripted(method, path) or self._thrown()
            self.seen.append(Seen(method=method, path=path, fault=fault, at=time.monotonic()))
            return fault

    def _scripted(self, method: str, path: str) -> Fault | None:
        for at, (fits, fault) in enumerate(self._script):
            if fits(method, path):
                del self._script[at]
                return fault
        return None

    def _thrown(self) -> Fault | None:
        throw = self._random.random()
        for fault, rate in self.rates.items():
            if throw < rate:
                return fault
            throw -= rate
        return None

    def __enter__(self) -> Self:
        self._listener = _Listener(self)
        host, port = self._listener.server_address[:2]
        self.endpoint = f"http://{host!s}:{port}"
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        assert self._listener is not None
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: FaultProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Passer)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


class _Passer(BaseHTTPRequestHandler):
    """One connection of a client, with one of its own to the server behind."""

    protocol_version = "HTTP/1.1"
    timeout = 120
    disable_nagle_algorithm = True
    server: _Listener

    def setup(self) -> None:
        super().setup()
        self.server.proxy.connections += 1
        self.behind = HTTPConnection(urlsplit(self.server.proxy.server.endpoint).netloc, timeout=60)

    def finish(self) -> None:
        self.behind.close()
        super().finish()

    def date_time_string(self, timestamp: float | None = None) -> str:
        now = time.time() if timestamp is None else timestamp
        return super().date_time_string(now + self.server.proxy.personality.clock_seconds)

    def log_message(self, *_: object) -> None:
        """Tests read `seen`."""

    def handle_any(self) -> None:
        proxy = self.server.proxy
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        fault = proxy.fault_of(self.command, self.path)
        match fault:
            case Fault.ERROR_500:
                self._answer(500, error_body("InternalError", "try another pod"))
            case Fault.SLOW_DOWN:
                wait = {"Retry-After": str(proxy.retry_after_seconds)}
                self._answer(503, error_body("SlowDown", "please slow down"), wait)
            case Fault.RESET:
                self._reset()
            case Fault.HANG:
                self._hang()
            case _:
                if proxy.personality.is_public and "authorization" not in headers:
                    self._answer(200, b"for everybody")
                    return
                refusal = proxy.personality.refusal(self.command, self.path, headers)
                if refusal:
                    self._answer(refusal.status, refusal.body())
                else:
                    self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_OPTIONS = handle_any  # noqa: N815

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        proxy = self.server.proxy
        if fault is Fault.FLIP_UP and body:
            body = _flipped(body)
        if proxy.personality.is_hurt(self.headers.get("Content-MD5"), body):
            # Before rclone sees it, which does not take a part a second time after this.
            self._answer(400, error_body("BadDigest", "the Content-MD5 is another"))
            return
        if "x-amz-copy-source-range" in self.headers:
            self._copy_part()
            return
        own = proxy.personality.own_answer(self.command, self.path, body)
        status, answer, headers = (own[0], own[1], {}) if own else self._from_behind(body)
        if 200 <= status < 300:
            proxy.personality.remember(self.command, self.path, len(body))
        if fault is Fault.LOST_ANSWER:
            self._reset()
            return
        if fault is Fault.SLOW:
            proxy.closing.wait(proxy.slow_seconds)
        if fault is Fault.FLIP_DOWN and answer:
            answer = _flipped(answer)
        self._answer(status, answer, headers, half=fault is Fault.TRUNCATE)

    def _copy_part(self) -> None:
        """rclone takes this for an empty part: put the bytes as the part instead."""
        server = self.server.proxy.server
        source = server.folder / unquote(self.headers["x-amz-copy-source"]).lstrip("/")
        first, last = self.headers["x-amz-copy-source-range"].removeprefix("bytes=").split("-")
        status, etag = server.put(self.path, source.read_bytes()[int(first) : int(last) + 1])
        self._answer(status, f"<CopyPartResult><ETag>{etag}</ETag></CopyPartResult>".encode())

    def _from_behind(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        try:
            self.behind.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in self.headers.items():
                if name.lower() not in {"content-length", "expect", *DROPPED}:
                    self.behind.putheader(name, value)
            if body or self.command in ("PUT", "POST"):
                self.behind.putheader("Content-Length", str(len(body)))
            self.behind.endheaders(body)
            answer = self.behind.getresponse()
            got = answer.read()
        except (OSError, HTTPException):
            self.behind.close()
            return 502, error_body("InternalError", "nobody behind the proxy"), {}
        return answer.status, got, dict(answer.getheaders())

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        half: bool = False,
    ) -> None:
        self.send_response(status)
        given = {n: v for n, v in (headers or {}).items() if n.lower() not in DROPPED}
        if not any(name.lower() == "content-length" for name in given) and status != 204:
            given["Content-Length"] = str(len(body))
        for name, value in given.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if half else body)
        if half:
            self.close_connection = True

    def _reset(self) -> None:
        # Linger of zero seconds: close() then sends RST, and no FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _hang(self) -> None:
        """Until the client gives up or the proxy ends."""
        self.close_connection = True
        while not self.server.proxy.closing.is_set():
            if select.select([self.connection], [], [], 0.1)[0]:
                return  # the client closed, there is nothing else it could say


def _flipped(body: bytes) -> bytes:
    at = len(body) // 2
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
