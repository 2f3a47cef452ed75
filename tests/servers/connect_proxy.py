"""A real HTTP proxy that makes tunnels (CONNECT), as machines inside companies have them."""

import base64
import select
import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

BLOCK_BYTES = 64 * 1024


class ConnectProxy:
    """Use it in a `with`. With `user` ("name:password") it lets nobody else through."""

    def __init__(self, *, user: str | None = None) -> None:
        self.user = user
        self.tunnels: list[str] = []
        """The host:port of each that was made."""
        self.lose_answer_after: int | None = None
        """One tunnel is cut at what the server says once the client has sent so many bytes."""
        self.address = ""
        self.closing = threading.Event()

    def lets_through(self, authorization: str | None) -> bool:
        if self.user is None:
            return True
        return authorization == f"Basic {base64.b64encode(self.user.encode()).decode()}"

    def __enter__(self) -> Self:
        self._listener = _Listener(self)
        host, port = self._listener.server_address[:2]
        self.address = f"{host!s}:{port}"
        threading.Thread(target=self._listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.closing.set()
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, proxy: ConnectProxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Tunnel)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is none."""


class _Tunnel(socketserver.StreamRequestHandler):
    server: _Listener
    rbufsize = 0  # what comes after the head is not ours to read ahead
    timeout = 60

    def handle(self) -> None:
        method, target, _ = self.rfile.readline().decode().split()
        headers: dict[str, str] = {}
        while line := self.rfile.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        if method != "CONNECT":
            self.wfile.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
        elif not self.server.proxy.lets_through(headers.get("proxy-authorization")):
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        else:
            self.server.proxy.tunnels.append(target)
            host, _, port = target.rpartition(":")
            with socket.create_connection((host, int(port)), timeout=60) as behind:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._pass_on(behind)

    def _pass_on(self, behind: socket.socket) -> None:
        proxy, sent = self.server.proxy, 0
        other = {self.connection: behind, behind: self.connection}
        while not proxy.closing.is_set():
            for ready in select.select(list(other), [], [], 0.1)[0]:
                block = ready.recv(BLOCK_BYTES)
                if not block:
                    return
                sent += len(block) if ready is self.connection else 0
                limit = proxy.lose_answer_after
                if ready is behind and limit is not None and sent > limit:
                    proxy.lose_answer_after = None
                    return
                other[ready].sendall(block)
