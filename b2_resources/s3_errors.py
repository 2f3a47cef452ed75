"""What an S3 server or the way to it says, turned into our errors, here and nowhere else.

Nothing of an answer is shown but the error's code and sentence, and those without the key id or
the secret.
"""

import re
from dataclasses import dataclass
from html import unescape

from b2_resources.object_store import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
)
from outreach_core.errors import OutreachError

CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
SENTENCE = re.compile(rb"<Message>([^<]{1,300})</Message>")
COME_BACK = {408, 429}
"""With every 5xx but 501: what may be different in a moment."""
HURT_ON_THE_WAY = {"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody", "RequestTimeout"}
"""Codes of 400 that speak of the way and not of us: sent again, it may arrive."""

CURES = {
    "NoSuchBucket": "there is no such bucket for this key: check B2_BUCKET",
    "SignatureDoesNotMatch": "the secret does not belong to the key id: check B2_APPLICATION_KEY",
    "InvalidAccessKeyId": "the key is not known here: check B2_KEY_ID, and that B2_REGION and "
    "B2_ENDPOINT name the bucket's region",
    "Malformed": "this is a master key's id, which the S3 API does not take: make an application "
    "key and set B2_KEY_ID and B2_APPLICATION_KEY",
    "AccessDenied": "the key may not do this: check its capabilities and the bucket it is for",
    "RequestTimeTooSkewed": "this machine's clock is wrong",
    "AuthorizationHeaderMalformed": "check that B2_REGION is the bucket's region",
}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a server said no with; a status of None when there was no answer."""

    status: int | None
    code: str | None = None
    sentence: str = ""

    @property
    def is_missing(self) -> bool:
        """True for an object that is not there, false for a bucket that is not there."""
        return self.status == 404 and self.code != "NoSuchBucket"

    @property
    def may_pass(self) -> bool:
        """True when the same request may be answered otherwise in a moment."""
        if self.status is None or self.status in COME_BACK or self.code in HURT_ON_THE_WAY:
            return True
        return self.status >= 500 and self.status != 501


def answer_in(status: int, body: bytes) -> Answer:
    """The code and sentence of an error's body, where it has them."""
    code, sentence = CODE.search(body), SENTENCE.search(body)
    return Answer(
        status=status,
        code=code[1].decode(errors="replace") if code else None,
        sentence=" ".join(unescape(sentence[1].decode(errors="replace")).split())
        if sentence
        else "",
    )


def named_error(answer: Answer, place: str, secrets: tuple[str, ...]) -> OutreachError:
    """Our error for the answer, with the cure where one is known."""
    if answer.is_missing:
        return ObjectMissingError(f"there is no object at {place}")
    says = f"{answer.code or answer.status or 'no answer'}: {answer.sentence}".rstrip(": ")
    for secret in secrets:
        says = says.replace(secret, "***")
    if answer.may_pass:
        return StoreUnreachableError(f"{place} cannot be reached: {says}")
    likely = {403: "AccessDenied", 404: "NoSuchBucket"}.get(answer.status or 0, "")
    name = "Malformed" if "Malformed Access Key" in answer.sentence else answer.code or likely
    return StoreRefusedError(
        f"{place}: the store refused: {says} ({CURES.get(name, 'check the B2_ settings')})"
    )


def untrusted_error(endpoint: str, says: str) -> OutreachError:
    """Our error for a certificate that this machine does not trust. It will not in a moment."""
    return StoreRefusedError(
        f"{endpoint}: its certificate is not trusted here: {says} (check B2_ENDPOINT and this "
        "machine's clock; for a CA of your own set SSL_CERT_FILE to its certificate)"
    )
