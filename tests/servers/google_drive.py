"""Google Drive's API as far as reading goes, for the real rclone: a proxy that answers by itself.

rclone's Drive backend has no setting for another address (rclone#2581), but goes through
HTTPS_PROXY and trusts what SSL_CERT_FILE vouches for. Nothing leaves this machine.
"""

import hashlib
import json
import re
import shutil
import ssl
import subprocess
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.servers.rclone_s3 import make_certificate

FOLDER = "application/vnd.google-apps.folder"
DOCUMENT = "application/vnd.google-apps.document"
WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
ROOT = "the-root"
HOSTS = "DNS:*.googleapis.com"
PAGE = 7
"""Files in an answer, so that every listing has several."""

TOKEN = {"access_token": "old", "token_type": "Bearer", "expiry": "2020-01-01T00:00:00Z"}


@dataclass(frozen=True, kw_only=True)
class DriveFile:
    id: str
    parent: str
    name: str
    mime: str
    content: bytes = b""

    @property
    def as_json(self) -> dict[str, object]:
        found = {"id": self.id, "name": self.name, "mimeType": self.mime, "parents": [self.parent]}
        found |= {"modifiedTime": "2026-01-02T03:04:05.000Z"}
        if self.mime not in (FOLDER, DOCUMENT):
            md5 = hashlib.md5(self.content).hexdigest()  # noqa: S324
            found |= {"size": str(len(self.content)), "md5Checksum": md5}
        return found


@dataclass(kw_only=True)
class GoogleDrive:
    """Use it in a `with`; `log_in` lets this process's rclones reach it."""

    folder: Path
    refresh_token: str = "hunter22-refresh"
    access_token: str = "hunter22-access"
    files: list[DriveFile] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    """Method, host and path of every request."""

    def add(
        self, name: str, content: bytes = b"", *, parent: str = ROOT, mime: str = "text/plain"
    ) -> str:
        """A file, a folder or a document; its id."""
        id_ = f"id-{len(self.files)}"
        self.files.append(DriveFile(id=id_, parent=parent, name=name, mime=mime, content=content))
        return id_

    def log_in(self, patch: pytest.MonkeyPatch, *, by_account: bool = False) -> None:
        patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{self._server.server_address[1]}")
        patch.setenv("SSL_CERT_FILE", str(self._certificate))
        patch.setenv("OUTREACH_GOOGLE_DRIVE_ROOT_FOLDER_ID", ROOT)
        if by_account:
            file = str(self._service_account())
            patch.setenv("OUTREACH_GOOGLE_DRIVE_SERVICE_ACCOUNT_FILE", file)
        else:
            token = json.dumps({**TOKEN, "refresh_token": self.refresh_token})
            patch.setenv("OUTREACH_GOOGLE_DRIVE_TOKEN", token)
            patch.setenv("OUTREACH_GOOGLE_DRIVE_CLIENT_ID", "client")
            patch.setenv("OUTREACH_GOOGLE_DRIVE_CLIENT_SECRET", "hunter22-client")

    def _service_account(self) -> Path:
        openssl = shutil.which("openssl")
        assert openssl, "openssl is not installed"
        words = [openssl, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        key = subprocess.run(words, check=True, capture_output=True, timeout=60).stdout.decode()
        file = self.folder / "account.json"
        says = {
            "type": "service_account",
            "client_email": "backup@project.iam.gserviceaccount.com",
            "private_key": key,
            "token_uri": "https://oauth2.googleapis.com/token",
        }
        file.write_text(json.dumps(says))
        return file

    def token_for(self, body: dict[str, list[str]]) -> dict[str, object] | None:
        """A new access token, for a refresh token of ours or whatever an account has signed."""
        if body.get("refresh_token", [""]) != [self.refresh_token] and "assertion" not in body:
            return None
        return {"access_token": self.access_token, "token_type": "Bearer", "expires_in": 3600}

    def listed(self, query: dict[str, list[str]]) -> dict[str, object]:
        """A page of what the query asks for."""
        asked = query["q"][0]
        parents = re.findall(r"'([^']+)' in parents", asked)
        names = [name.replace("\\'", "'") for name in re.findall(r"name='((?:\\.|[^'])+)'", asked)]
        found = [
            file.as_json
            for file in self.files
            if file.parent in parents
            and (not names or file.name in names)
            and ("(mimeType=" not in asked or file.mime == FOLDER)
        ]
        start = int(query.get("pageToken", ["0"])[0])
        rest = {"nextPageToken": str(start + PAGE)} if len(found) > start + PAGE else {}
        return {"files": found[start : start + PAGE], **rest}

    def __enter__(self) -> Self:
        self._certificate, key = make_certificate(self.folder, HOSTS)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self._certificate, key)
        self._server = _Server(("127.0.0.1", 0), _Request)
        self._server.drive = self
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    drive: GoogleDrive
    daemon_threads = True
    block_on_close = False


class _Request(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    host = ""

    def do_CONNECT(self) -> None:
        self.host = self.path.partition(":")[0]
        self.send_response(200)
        self.end_headers()
        try:
            inside = self.server.drive.tls.wrap_socket(self.connection, server_side=True)
        except (OSError, ssl.SSLError):
            self.close_connection = True
            return
        self.rfile, self.wfile = inside.makefile("rb"), inside.makefile("wb", 0)  # type: ignore[assignment]
        self.close_connection = False
        while not self.close_connection:
            self.handle_one_request()
        inside.close()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self._asked()
        token = self.server.drive.token_for(parse_qs(body))
        self._answer(token or {"error": "invalid_grant"}, 200 if token else 400)

    def do_GET(self) -> None:
        self._asked()
        drive = self.server.drive
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if self.headers["authorization"] != f"Bearer {drive.access_token}":
            self._answer({"error": {"code": 401, "message": "Invalid Credentials"}}, 401)
        elif parts.path == "/drive/v3/files":
            self._answer(drive.listed(query))
        elif parts.path == "/drive/v3/about":
            self._answer({"exportFormats": {DOCUMENT: [WORD]}, "importFormats": {}})
        else:
            id_ = parts.path.rpartition("/")[2]
            [file] = [one for one in drive.files if one.id == id_]
            self._answer(file.content if query.get("alt") == ["media"] else file.as_json)

    def _asked(self) -> None:
        self.server.drive.asked.append(f"{self.command} {self.host}{urlsplit(self.path).path}")

    def _answer(self, answer: object, status: int = 200) -> None:
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""
