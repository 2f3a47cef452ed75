"""A running rclone and how to talk to it: its remote control, on a socket of its own.

It is started for a run and ends with it, also when the run is killed. What it is asked to do for a
backup is in back_up.py. Nothing secret is on a command line or on a disk: the password of the
socket and the keys of the remotes reach it by its environment.
"""

import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self  # Any: rclone's answers are JSON objects of many shapes
from urllib.parse import quote

from outreach_core import leash
from outreach_core.errors import OutreachError, PermanentError, RetryableError, SettingsError

OLDEST = (1, 70, 0)
START_SECONDS = 60
STOP_SECONDS = 10
LOG_SECONDS = 5
LOOK_EVERY_SECONDS = 0.2
CONNECTION_TIMEOUT_SECONDS = 30
LISTING_TIMEOUT_SECONDS = 6 * 3600
USER = "outreach"
BETWEEN = re.compile(r"[\s,]*")
PASSED_ON = (
    *("PATH", "HOME", "TMPDIR", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
)
"""All that rclone gets of our environment: no setting or secret that is not its business."""


class RcloneMissingError(SettingsError):
    """There is no rclone, or one that is too old."""


class RcloneError(RetryableError):
    """What rclone was asked to do has failed; the message is its own."""


class NotThereError(RcloneError):
    """The folder, bucket or prefix does not exist."""


class RcloneGoneError(RetryableError):
    """The rclone of this run has ended."""


class StoppedError(PermanentError):
    """The run was asked to stop."""


def rclone_program(named: Path | None) -> str:
    """The rclone to start: the one named, the one installed beside this Python, or PATH's."""
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    found = shutil.which(named) if named else str(beside) if beside.exists() else None
    found = found or (None if named else shutil.which("rclone"))
    if found is None:
        raise RcloneMissingError(
            f"OUTREACH_RCLONE is {str(named)!r}, which is no program"
            if named
            else "rclone is not installed: run `uv sync`, or name one in OUTREACH_RCLONE"
        )
    return found


def obscured(program: str, word: str) -> str:
    """A password as rclone's configuration has it, which is no secret from anybody who sees it."""
    words = [program, "obscure", "--config", "", "-"]
    try:
        done = subprocess.run(words, input=word.encode(), capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise RcloneMissingError(f"OUTREACH_RCLONE: {program} does not start: {error}") from None
    return done.stdout.decode().strip()


class Rclone:
    """One rclone and the remotes in its environment. Use it in a `with`.

    `remotes`: for each of its remotes what rclone's configuration would say. `options`: rclone's
    global flags without their dashes. `secret`: what no message may show.
    """

    def __init__(
        self,
        program: str,
        *,
        remotes: Mapping[str, Mapping[str, str]],
        options: Mapping[str, str],
        config: Path | None = None,
        secret: Sequence[str] = (),
    ) -> None:
        self.folder = Path()
        self.errors: dict[str, str] = {}
        """What the log says of files that could not be copied or read, by their paths."""

        self.stopping = threading.Event()
        self._program = program
        self._remotes = remotes
        self._options = options
        self._config = config
        self._secrets = [word for word in secret if word]
        self._password = secrets.token_urlsafe(24)
        self._last_words = ""
        self._log_mark = ""
        self._mark_was_read = threading.Event()
        self._open: set[Question] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._log_reader = threading.Thread(target=self._read_log, daemon=True)

    def __enter__(self) -> Self:
        # Short, because a socket's path may have 107 bytes; only its owner may look into it.
        self.folder = Path(tempfile.mkdtemp(prefix="outreach-"))
        try:
            self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.stop()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._log_reader.join()
        for question in list(self._open):
            question.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self) -> None:
        """Let go of it; what waits for an answer from it raises."""
        self.stopping.set()
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def call(self, command: str, **parameters: object) -> dict[str, Any]:
        """The answer to a command. Raises RcloneError, NotThereError or RcloneGoneError."""
        with self.ask(command, **parameters).body() as answer:
            return dict(json.load(answer))

    def ask(self, command: str, **parameters: object) -> "Question":
        """Begin a command whose answer is waited for later. Raises as `call`."""
        return self._question("POST", f"/{command}", json.dumps(parameters).encode())

    def open(self, fs: str, path: str, *, first: int | None = None) -> "Question":
        """Begin to read a file, or its first so many bytes. `fs` is a remote alone: `to:`."""
        part = {"Range": f"bytes=0-{first - 1}"} if first else {}
        return self._question("GET", quote(f"/[{fs}]/{path}"), headers=part)

    def start_job(self, command: str, **parameters: object) -> int:
        """Begin a command that takes long; the job's number."""
        return int(self.call(command, _async=True, **parameters)["jobid"])

    def read_log(self) -> None:
        """Wait until `errors` holds all that was said up to now."""
        self._log_mark = secrets.token_hex(8)
        self._mark_was_read.clear()
        with suppress(RcloneError):
            self.call("rc/error", mark=self._log_mark)  # which is told to the log
        self._mark_was_read.wait(LOG_SECONDS)

    def redacted(self, text: str) -> str:
        """The text on one line, without the secrets."""
        for word in (*self._secrets, self._password):
            text = text.replace(word, "***")
        return " ".join(text.replace("\0", " ").split())

    def _start(self) -> None:
        words = [self._program, "rcd", "--config", str(self._config or "")]
        self._process = subprocess.Popen(
            [sys.executable, "-ES", leash.__file__, *words],
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us, and we let go of the leash
        )
        self._log_reader.start()
        until = time.monotonic() + START_SECONDS
        while True:
            with suppress(RcloneGoneError):
                version = tuple(self.call("core/version")["decomposed"])
                break
            if self._process.poll() is not None or time.monotonic() > until:
                raise RcloneMissingError(
                    f"OUTREACH_RCLONE: {self._program} does not start: {self._last_words}"
                )
            time.sleep(0.02)
        if version < OLDEST:
            found, wanted = (".".join(map(str, v)) for v in (version, OLDEST))
            raise RcloneMissingError(
                f"OUTREACH_RCLONE: {self._program} is rclone {found}, and {wanted} or newer is "
                "needed: run `uv sync`, or name a newer one"
            )

    def _question(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> "Question":
        if self.stopping.is_set():
            raise StoppedError("the run was stopped")
        question = Question(self, method, path, body, headers or {})
        self._open.add(question)
        return question

    def closed(self, question: "Question") -> None:
        """Nobody waits for its answer any more."""
        self._open.discard(question)

    def _environment(self) -> dict[str, str]:
        ours = os.environ  # noqa: TID251 what of it the child gets is said in PASSED_ON
        found = {name: ours[name] for name in PASSED_ON if name in ours}
        options = {
            **self._options,
            "rc-addr": f"unix://{self.folder}/rc",
            "rc-user": USER,
            "rc-pass": self._password,
            "rc-serve": "true",  # files can be read through it
            # A listing is answered when all of it is known: an hour, rclone's own, is too short.
            "rc-server-write-timeout": f"{LISTING_TIMEOUT_SECONDS}s",
            "use-json-log": "true",
            "log-level": "ERROR",
        }
        for name, value in options.items():
            found[f"RCLONE_{name.replace('-', '_').upper()}"] = value
        for remote, says in self._remotes.items():
            for name, value in says.items():
                found[f"RCLONE_CONFIG_{remote.upper()}_{name.upper()}"] = value
        return found

    def _read_log(self) -> None:
        assert self._process is not None  # noqa: S101 it was started for this
        assert self._process.stderr is not None  # noqa: S101
        for line in iter(self._process.stderr.readline, b""):
            try:
                said = json.loads(line)
                message, path = str(said["msg"]), str(said.get("object") or "")
            except (ValueError, KeyError, TypeError):  # before it knows that its log is JSON
                message, path = line.decode(errors="replace"), ""
            self._last_words = self.redacted(message)
            if self._log_mark in message:
                self._mark_was_read.set()
            if path:
                self.errors[path] = self._last_words
        self._process.stderr.close()

    @property
    def socket(self) -> str:
        """Where it listens."""
        return f"{self.folder}/rc"

    @property
    def login(self) -> str:
        """The header that lets us in."""
        return "Basic " + b64encode(f"{USER}:{self._password}".encode()).decode()

    def gone(self, error: Exception) -> OutreachError:
        """What it means that it does not answer."""
        if self.stopping.is_set():
            return StoppedError("the run was stopped")
        return RcloneGoneError(f"rclone has ended: {self._last_words or error}")


class Question:
    """What rclone was asked, and is at work on."""

    def __init__(
        self,
        rclone: Rclone,
        method: str,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> None:
        self._rclone = rclone
        self._connection = _SocketConnection(rclone.socket)
        said = {"Authorization": rclone.login, "Content-Type": "application/json", **headers}
        with self._errors():
            self._connection.request(method, path, body, said)

    def close(self) -> None:
        """Wait for the answer no more."""
        self._connection.close()
        self._rclone.closed(self)

    @contextmanager
    def body(self) -> Iterator[HTTPResponse]:
        """What it answers, as a file; the connection ends with the block."""
        try:
            with self._errors():
                answer = self._connection.getresponse()
                if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
                    says = self._rclone.redacted(str(json.load(answer).get("error")))
                    raise NotThereError(says) if answer.status == 404 else RcloneError(says)
                yield answer
        finally:
            self.close()

    def elements(self) -> Iterator[Any]:
        """The elements of the answer's one list, never all of them at once.

        Raises, if it does, before the first of them.
        """
        found = self._elements()
        first = next(found, None)
        return found if first is None else chain([first], found)

    def _elements(self) -> Iterator[Any]:
        with self.body() as answer:
            yield from _elements(answer)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise self._rclone.gone(error) from error


class _SocketConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=LISTING_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


def _elements(answer: HTTPResponse) -> Iterator[Any]:
    """The objects or texts in `{"list": […, …]}`, as they come in."""
    decoder = json.JSONDecoder()
    rest, at, is_inside = "", 0, False
    unread = iter(lambda: answer.read(1 << 20), b"")
    undecoded = b""
    for chunk in unread:
        whole = undecoded + chunk
        # JSON breaks between characters only at line ends; a cut one waits for its other half.
        end = whole.rfind(b"\n") + 1
        undecoded = whole[end:]
        rest, at = rest[at:] + whole[:end].decode(), 0
        if not is_inside:
            at = rest.find("[") + 1
            is_inside = at > 0
        while is_inside:
            at = BETWEEN.match(rest, at).end()  # type: ignore[union-attr]  # it matches nothing, too
            try:
                found, at = decoder.raw_decode(rest, at)
            except ValueError:  # the rest of it is still to come, or the list is at its end
                break
            yield found
