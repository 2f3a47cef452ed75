"""A closer look at a bucket: who is let in, to do what, and who should not be.

Each capability is tried by itself on a throwaway key. The settings are looked at before, in
settings_doctor.py.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import parsedate_to_datetime

from b2_resources.object_store import ObjectMissingError, StoreRefusedError, get_bytes
from b2_resources.s3_config import S3Config
from b2_resources.s3_errors import Answer, answer_in
from b2_resources.s3_store import S3Store
from b2_resources.s3_wire import Ask, NoAnswerError, Wire
from outreach_core.errors import OutreachError
from outreach_core.findings import Finding, Result

PREFIX = "outreach/doctor/"
WARN_SECONDS, REFUSED_SECONDS = 60, 900
"""A signature's time may be off by fifteen minutes."""
PATIENCE_SECONDS = 10

SAYS = {
    "InvalidAccessKeyId": (
        "the key id is not known to this endpoint",
        "copy B2_KEY_ID again; check B2_ENDPOINT and B2_REGION; the key may have been deleted",
    ),
    "SignatureDoesNotMatch": (
        "the secret does not belong to this key id",
        "copy B2_APPLICATION_KEY again, or make a new key: Backblaze shows a secret only once",
    ),
    "RequestTimeTooSkewed": (
        "this machine's clock is too wrong for any signature",
        "set the clock (`timedatectl set-ntp true`)",
    ),
    "NoSuchBucket": (
        "there is no bucket of this name",
        "check B2_BUCKET for a typing mistake, and B2_REGION: a bucket is in one region only",
    ),
    "AuthorizationHeaderMalformed": (
        "the region is not the bucket's",
        "set B2_REGION to the one in the endpoint",
    ),
}
MALFORMED = (
    "this is a master key's id, which the S3 API refuses",
    "make an application key under App Keys and use both its parts",
)
CAPABILITIES = {
    "list": "listFiles",
    "write": "writeFiles",
    "read": "readFiles",
    "delete": "deleteFiles",
}


def check_bucket(config: S3Config) -> Iterator[Finding]:
    """The findings, in the order in which they are found out; the first that stops all is last."""
    config = replace(config, patience_seconds=PATIENCE_SECONDS)
    store = S3Store(config)
    try:
        reply = Wire(config, store.meter).send(
            Ask(method="GET", query=[("list-type", "2"), ("max-keys", "1"), ("prefix", PREFIX)])
        )
        body = reply.read()
    except StoreRefusedError as error:  # a certificate; other refusals are answers
        yield _problem("endpoint", str(error), "check B2_ENDPOINT, the clock and SSL_CERT_FILE")
        return
    except NoAnswerError as error:
        found = f"{config.endpoint} does not answer: {error}"
        yield _problem("endpoint", found, "check B2_ENDPOINT for a typing mistake, and the network")
        return
    yield _clock(reply.headers.get("date", ""))
    answer = answer_in(reply.status, body)
    stopped = _stopped(answer)
    if stopped is not None:
        yield stopped
        return
    yield from _capabilities(store)


def _stopped(answer: Answer) -> Finding | None:
    """What makes every further question useless."""
    if "Malformed Access Key" in answer.sentence:
        return _problem("key", *MALFORMED)
    if answer.code in SAYS:
        return _problem("bucket" if "Bucket" in answer.code else "key", *SAYS[answer.code])
    return None


def _clock(date: str) -> Finding:
    try:
        off = time.time() - parsedate_to_datetime(date).timestamp()
    except ValueError:
        return Finding(check="clock", result=Result.OK, found="the server does not tell the time")
    found = f"{abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} the server's"
    if abs(off) < WARN_SECONDS:
        return Finding(check="clock", result=Result.OK, found=found)
    result = Result.WARN if abs(off) < REFUSED_SECONDS else Result.PROBLEM
    cure = "set the clock (`timedatectl set-ntp true`): signatures and versions go by it"
    return Finding(check="clock", result=result, found=found, cure=cure)


def _capabilities(store: S3Store) -> Iterator[Finding]:
    key = f"{PREFIX}{secrets.token_hex(8)}.txt"
    body = b"written by `outreach store doctor`, safe to delete\n"
    tries: dict[str, Callable[[], object]] = {
        "list": lambda: list(store.list_objects(key)),
        "write": lambda: store.put_bytes(key, body),
        "read": lambda: get_bytes(store, key),
        "delete": lambda: store.delete(key),
    }
    denied: dict[str, str] = {}
    for name, attempt in tries.items():
        try:
            attempt()
            if name == "write":
                yield from _public(store, key)
        except StoreRefusedError as error:
            denied[name] = str(error)
        except ObjectMissingError:  # nothing to read where nothing could be written
            denied.setdefault("write", "the object that was put is not there")
        except OutreachError as error:
            yield _problem("bucket", f"{name}: {error}", "try again; the store may be in trouble")
            return
    yield from _denials(store, denied)


def _denials(store: S3Store, denied: dict[str, str]) -> Iterator[Finding]:
    if len(denied) == len(CAPABILITIES):
        yield _problem(
            "key",
            f"the key may do nothing below {PREFIX} in {store.place}: it is restricted to another "
            "bucket or prefix, or the bucket is another account's",
            f"make a key for this bucket, and if with a prefix then `outreach/` ({denied['list']})",
        )
        return
    for name, says in denied.items():
        yield _problem(
            "capability",
            f"the key may not {name}",
            f"make a key with {CAPABILITIES[name]} ({says})",
        )
    fine = [name for name in CAPABILITIES if name not in denied]
    yield Finding(check="capability", result=Result.OK, found=f"{store.place}: {', '.join(fine)}")


def _public(store: S3Store, key: str) -> Iterator[Finding]:
    wire = Wire(store.client.config, store.meter)
    try:
        reply = wire.send(Ask(method="GET", key=key, is_signed=False))
    except NoAnswerError:
        return
    reply.close()
    if reply.status == 200:
        yield Finding(
            check="bucket",
            result=Result.WARN,
            found="anybody may read this bucket without a key",
            cure="set it to private in its settings, unless that is meant: it holds people's names",
        )
    else:
        yield Finding(check="bucket", result=Result.OK, found="private: read with a key only")


def _problem(check: str, found: str, cure: str) -> Finding:
    return Finding(check=check, result=Result.PROBLEM, found=found, cure=cure)
