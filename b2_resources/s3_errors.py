"""What an S3 server or the way to it says, turned into our errors, here and nowhere else.

The library gives the server's answer only as text. Nothing of it is shown but the error's code
and sentence, and those without the key id or the secret.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from obstore.exceptions import BaseError

from b2_resources.object_store import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_core.errors import OutreachError

STATUS = re.compile(r"status code: (\d{3})|status: (\d{3}),")
CODE = re.compile(r"<Code>([^<]{1,100})</Code>")
SENTENCE = re.compile(r"<Message>([^<]{1,300})</Message>")
COME_BACK = {408, 429}
"""With every 5xx but 501: what may be different in a moment."""

CURES = {
    "NoSuchBucket": "there is no such bucket for this key: check B2_BUCKET",
    "SignatureDoesNotMatch": "the secret does not belong to the key id: check B2_APPLICATION_KEY",
    "InvalidAccessKeyId": "the key is not known here: check B2_KEY_ID, and that B2_REGION and "
    "B2_ENDPOINT name the bucket's region",
    "AccessDenied": "the key may not do this: check its capabilities and the bucket it is for",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What could be read out of the library's error."""

    status: int | None
    code: str | None
    sentence: str

    @property
    def is_missing(self) -> bool:
        """True for an object that is not there, false for a bucket that is not there."""
        return self.status == 404 and self.code != "NoSuchBucket"


@contextmanager
def s3_errors(place: str, secrets: tuple[str, ...]) -> Iterator[None]:
    """Raise ours for the library's errors; `place` is what the message names."""
    try:
        yield
    except (BaseError, FileNotFoundError) as error:
        if isinstance(error, FileNotFoundError) and error.errno is not None:
            raise  # a file on this machine, not an object
        raise named_error(answer_in(error), place, secrets) from None


def answer_in(error: BaseException) -> Answer:
    """The server's status, code and sentence; a status of None when there was no answer."""
    text = str(error)
    status = STATUS.search(text)
    code = CODE.search(text)
    sentence = SENTENCE.search(text)
    first_line = text.partition("\n")[0]
    return Answer(
        status=int(status[1] or status[2]) if status else None,
        code=code[1] if code else None,
        sentence=" ".join((sentence[1] if sentence else first_line).split())[:300],
    )


def named_error(answer: Answer, place: str, secrets: tuple[str, ...]) -> OutreachError:
    """Our error for the answer, with the cure where one is known."""
    if answer.is_missing:
        return ObjectMissingError(f"there is no object at {place}")
    says = f"{answer.code or answer.status or 'no answer'}: {answer.sentence}"
    for secret in secrets:
        says = says.replace(secret, "***")
    if _may_pass(answer):
        return StoreUnreachableError(f"{place} cannot be reached: {says}")
    likely = {403: "AccessDenied", 404: "NoSuchBucket"}.get(answer.status or 0, "")
    cure = CURES.get(answer.code or likely, "check the B2_ settings")
    return StoreRefusedError(f"{place}: the store refused: {says} ({cure})")


def _may_pass(answer: Answer) -> bool:
    if answer.status is None or answer.status in COME_BACK:
        return True
    return answer.status >= 500 and answer.status != 501
