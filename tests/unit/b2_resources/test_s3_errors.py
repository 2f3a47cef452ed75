import pytest

from b2_resources.object_store import (
    ObjectMissingError,
    StoreRefusedError,
    StoreUnreachableError,
)
from b2_resources.s3_errors import Answer, named_error


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectMissingError),
        (404, None, ObjectMissingError),
        (404, "NoSuchBucket", StoreRefusedError),
        (403, "AccessDenied", StoreRefusedError),
        (403, None, StoreRefusedError),
        (401, None, StoreRefusedError),
        (400, "InvalidArgument", StoreRefusedError),
        (400, "BadDigest", StoreUnreachableError),
        (501, "NotImplemented", StoreRefusedError),
        (408, None, StoreUnreachableError),
        (429, "SlowDown", StoreUnreachableError),
        (500, "InternalError", StoreUnreachableError),
        (503, "ServiceUnavailable", StoreUnreachableError),
        (None, None, StoreUnreachableError),
    ],
)
def test_each_answer_has_its_error(
    status: int | None, code: str | None, expected: type[Exception]
) -> None:
    error = named_error(Answer(status=status, code=code, sentence="why"), "s3://b/k", ())
    assert type(error) is expected
    assert "s3://b/k" in str(error)


def test_a_secret_in_an_answer_is_not_shown() -> None:
    answer = Answer(status=403, code="X", sentence="key ID004 with SECRET is bad")
    error = named_error(answer, "s3://b/k", ("SECRET", "ID004"))
    assert "SECRET" not in str(error)
    assert "ID004" not in str(error)


@pytest.mark.parametrize(
    ("code", "setting"),
    [
        ("NoSuchBucket", "B2_BUCKET"),
        ("SignatureDoesNotMatch", "B2_APPLICATION_KEY"),
        ("InvalidAccessKeyId", "B2_KEY_ID"),
        ("AccessDenied", "capabilities"),
    ],
)
def test_a_refusal_names_its_cure(code: str, setting: str) -> None:
    error = named_error(Answer(status=403, code=code, sentence=""), "s3://b/k", ())
    assert setting in str(error)
