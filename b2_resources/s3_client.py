"""Requests to one bucket that do not give up at the first trouble, and name it when they do.

The time all tries may take is bounded; between them it waits with full jitter, and as long as the
server asks for where it does (Retry-After).
"""

import random
import time
from collections.abc import Collection
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from b2_resources.meter import Charge, Meter
from b2_resources.s3_config import S3Config
from b2_resources.s3_errors import Answer, answer_in, named_error
from b2_resources.s3_wire import Ask, NoAnswerError, Reply, Wire
from outreach_core.errors import OutreachError

FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 15.0
MOST_TRIES = 40
"""The time is what bounds; this is for servers that refuse within microseconds."""


@dataclass(frozen=True, kw_only=True)
class Got:
    """A whole answer. Header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


class MaybeWorkedError(Exception):
    """The request may have been worked though no answer came: look before sending it again."""


class Pauses:
    """The pauses between the tries of one request."""

    def __init__(self, patience_seconds: float) -> None:
        self._until = time.monotonic() + patience_seconds
        self.tries = 1

    def wait(self, asked_seconds: float | None = None) -> bool:
        """Wait, at least as long as the server asked for; False when there is no time left."""
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self.tries)
        pause = random.uniform(0, longest) + (asked_seconds or 0)  # noqa: S311 jitter
        if self.tries >= MOST_TRIES or time.monotonic() + pause > self._until:
            return False
        self.tries += 1
        time.sleep(pause)
        return True


class S3Client:
    """One bucket on one server. Safe to use from several threads."""

    def __init__(self, config: S3Config) -> None:
        self.config = config
        self.meter = Meter()
        self._wire = Wire(config, self.meter)

    def ask(
        self,
        request: Ask,
        *,
        charge: Charge,
        expected: Collection[int] = (200, 204),
        pauses: Pauses | None = None,
        look_first: bool = False,
    ) -> Got:
        """The whole answer, whose status is one of those expected.

        Raises ObjectMissingError, StoreRefusedError, StoreUnreachableError. With `look_first` it
        raises MaybeWorkedError instead of sending again what may have been worked.
        """
        pauses = pauses or self.pauses()
        while True:
            wait: float | None = None
            try:
                reply = self._send(request, charge, pauses)
                body = reply.read()
            except NoAnswerError as error:
                trouble = Answer(status=None, sentence=str(error))
                if look_first and error.maybe_worked:
                    raise MaybeWorkedError(str(error)) from None
            else:
                is_late_error = reply.status == 200 and b"<Error>" in body[:1000]
                if reply.status in expected and not is_late_error:
                    return Got(status=reply.status, headers=reply.headers, body=body)
                # Complete and copy may answer 200 first and say later that they failed.
                trouble = answer_in(500 if is_late_error else reply.status, body)
                wait = retry_after_seconds(reply.headers.get("retry-after"))
            if not trouble.may_pass or not pauses.wait(wait):
                raise self.error(trouble, request.key)

    def open(self, request: Ask, *, expected: Collection[int], pauses: Pauses) -> Reply:
        """The same for an object's bytes, which the caller reads. Raises the same errors."""
        while True:
            wait: float | None = None
            try:
                reply = self._send(request, Charge.READ, pauses)
                if reply.status in expected:
                    return reply
                trouble = answer_in(reply.status, reply.read())
                wait = retry_after_seconds(reply.headers.get("retry-after"))
            except NoAnswerError as error:
                trouble = Answer(status=None, sentence=str(error))
            if not trouble.may_pass or not pauses.wait(wait):
                raise self.error(trouble, request.key)

    def pauses(self) -> Pauses:
        """Fresh patience, as configured."""
        return Pauses(self.config.patience_seconds)

    def place_of(self, key: str) -> str:
        """What messages name."""
        return f"s3://{self.config.bucket}/{key}"

    def error(self, trouble: Answer, key: str) -> OutreachError:
        """Our error for it, without a secret."""
        return named_error(trouble, self.place_of(key), self.config.secrets)

    def _send(self, request: Ask, charge: Charge, pauses: Pauses) -> Reply:
        self.meter.request(charge, again=pauses.tries > 1)
        return self._wire.send(request)


def retry_after_seconds(value: str | None) -> float | None:
    """What the header asks for, in seconds or as a date; None for none or nonsense."""
    if not value:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
