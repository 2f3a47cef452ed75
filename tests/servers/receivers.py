"""A chat's webhook and a mail server, both real, on this machine: what they took, what not."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

SECRET_PATH = "/services/T0SECRET/B0SECRET/hunter22-webhook"
USER, PASSWORD = "mailer", "hunter22-mail"


class Chat:
    """An incoming webhook; `answers` are given first, then 200. `port` is kept over a stop."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.requests = 0
        self.answers: list[tuple[int, Mapping[str, str]]] = []
        self.on_message: Callable[[], None] | None = None
        """Called when a message has come and before the answer goes out."""

        self.port = 0
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{SECRET_PATH}"

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), self._handler())
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                chat.requests += 1
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers = chat.answers.pop(0) if chat.answers else (200, {})
                if status == 200 and self.path == SECRET_PATH:
                    chat.texts.append(json.loads(body)["text"])
                    if chat.on_message:
                        chat.on_message()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                """Tests read `texts`."""

        return Handler


class _Controller(Controller):
    """Finds its own port: aiosmtpd would knock at the 0 that it was given."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


class Post:
    """A mail server that wants a login; addresses in `refused` get the code that stands there."""

    def __init__(self, certificate: tuple[Path, Path] | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.refused: dict[str, str] = {}
        context = None
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
        self._controller = _Controller(
            self,
            hostname="127.0.0.1",
            port=0,
            authenticator=self._login,
            auth_require_tls=certificate is not None,
            tls_context=context,
        )

    @property
    def port(self) -> int:
        return int(self._controller.port)

    def texts_to(self, address: str) -> list[str]:
        mails = [mail for mail in self.mails if mail["To"] == address]
        return ["\n".join(mail.get_content().splitlines()) for mail in mails]

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    async def handle_MAIL(  # noqa: N802 aiosmtpd's name
        self, _server: SMTP, session: Session, envelope: Envelope, address: str, *_: object
    ) -> str:
        if not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, *_: object
    ) -> str:
        if address in self.refused:
            return f"{self.refused[address]} <{address}> is not wanted here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    @staticmethod
    def _login(*given: object) -> AuthResult:
        wanted = LoginPassword(USER.encode(), PASSWORD.encode())
        return AuthResult(success=given[-1] == wanted, handled=False)


@contextmanager
def receivers() -> Iterator[tuple[Chat, Post]]:
    """Both, for the length of the block."""
    chat, post = Chat(), Post()
    chat.start()
    post.start()
    try:
        yield chat, post
    finally:
        chat.stop()
        post.stop()
