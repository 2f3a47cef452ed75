from dataclasses import replace

import pytest

from b2_resources.settings_doctor import B2Settings, check_settings

RIGHT = B2Settings(
    endpoint="https://s3.us-west-004.backblazeb2.com",
    region="us-west-004",
    key_id="004aaaaaaaaaaaaaaaaaaaaaa",
    application_key="K004bbbbbbbbbbbbbbbbbbbbbbbbbbb",
    bucket="my-bucket",
)


def test_right_settings_have_no_finding() -> None:
    assert check_settings(RIGHT) == []
    assert check_settings(replace(RIGHT, endpoint="http://127.0.0.1:9000")) == []


@pytest.mark.parametrize(
    ("changes", "check", "says"),
    [
        ({"key_id": "0123456789ab"}, "B2_KEY_ID", "master key"),
        (
            {"key_id": RIGHT.application_key, "application_key": RIGHT.key_id},
            "B2_KEY_ID",
            "swapped",
        ),
        ({"bucket": '"my-bucket"'}, "B2_BUCKET", "quotes or spaces"),
        (
            {"application_key": RIGHT.application_key + " "},
            "B2_APPLICATION_KEY",
            "quotes or spaces",
        ),
        ({"endpoint": "https://us-west-004.backblazeb2.com"}, "B2_ENDPOINT", "not B2's S3 address"),
        (
            {"endpoint": "https://b.s3.us-west-004.backblazeb2.com"},
            "B2_ENDPOINT",
            "begins with a bucket",
        ),
        ({"region": "eu-central-003"}, "B2_REGION", "contradicts the endpoint"),
        ({"endpoint": "http://s3.us-west-004.backblazeb2.com"}, "B2_ENDPOINT", "plain http"),
        ({"endpoint": "s3.us-west-004.backblazeb2.com"}, "B2_ENDPOINT", "no URL"),
        ({"bucket": "s3://my-bucket/x"}, "B2_BUCKET", "no bucket's name"),
        ({"application_key": "K004short"}, "B2_APPLICATION_KEY", "9 characters"),
        ({"region": ""}, "B2_REGION", "is empty"),
    ],
)
def test_each_mistake_is_named_with_its_cure(
    changes: dict[str, str], check: str, says: str
) -> None:
    (found,) = check_settings(replace(RIGHT, **changes))
    assert found.check == check
    assert says in found.found
    assert found.cure
    assert RIGHT.application_key not in str(found)
