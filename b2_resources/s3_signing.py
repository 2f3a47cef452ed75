"""Presigned URLs by boto3: for a browser, or a program without our keys. Asks no server.

boto3 takes a second to import and a client as long, so this file is imported by those who sign.
"""

from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import boto3
from botocore.config import Config

from b2_resources.keys import check_key
from b2_resources.s3_config import S3Config
from b2_resources.signing import (
    SignedUpload,
    SigningStore,
    check_part,
    check_upload,
    checked_filename,
    checked_time,
    disposition_of,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def boto3_client(config: S3Config) -> "S3Client":
    """A client that B2 understands: region, version 4, no checksums it does not know.

    Session and keys are given, so nothing is taken from the environment or from ~/.aws.
    """
    session = boto3.session.Session(
        aws_access_key_id=config.key_id,
        aws_secret_access_key=config.application_key,
        region_name=config.region,
    )
    return session.client(
        "s3",
        endpoint_url=config.endpoint,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            retries={"mode": "standard", "total_max_attempts": 5},
            connect_timeout=10,
            read_timeout=config.answer_seconds,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


class S3Signing(SigningStore):
    """Signs with the application key."""

    def __init__(self, config: S3Config) -> None:
        self._config = config

    @cached_property
    def _client(self) -> "S3Client":
        return boto3_client(self._config)

    def sign_upload(
        self, key: str, *, content_type: str, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """See SigningStore."""
        check_upload(key, content_type, size_bytes)
        bound = {"ContentType": content_type, "ContentLength": size_bytes}
        now = datetime.now(UTC)  # noqa: TID251 an edge: a link is valid from this moment
        return SignedUpload(
            url=self._signed("put_object", key, bound, valid_for),
            headers={"content-type": content_type, "content-length": str(size_bytes)},
            expires_at=now + valid_for,
        )

    def sign_part(
        self, key: str, upload_id: str, number: int, *, size_bytes: int, valid_for: timedelta
    ) -> SignedUpload:
        """See SigningStore."""
        check_part(key, number, size_bytes)
        bound = {"UploadId": upload_id, "PartNumber": number, "ContentLength": size_bytes}
        now = datetime.now(UTC)  # noqa: TID251 an edge: a link is valid from this moment
        return SignedUpload(
            url=self._signed("upload_part", key, bound, valid_for),
            headers={"content-length": str(size_bytes)},
            expires_at=now + valid_for,
        )

    def sign_download(self, key: str, *, valid_for: timedelta, filename: str | None = None) -> str:
        """See SigningStore."""
        name = checked_filename(filename)
        extra = {"ResponseContentDisposition": disposition_of(name)} if name else {}
        return self._signed("get_object", check_key(key), extra, valid_for)

    def _signed(
        self,
        operation: str,
        key: str,
        extra: dict[str, Any],  # boto3's own parameters
        valid_for: timedelta,
    ) -> str:
        return self._client.generate_presigned_url(
            operation,
            Params={"Bucket": self._config.bucket, "Key": key, **extra},
            ExpiresIn=int(checked_time(valid_for).total_seconds()),
        )


def public_url(config: S3Config, key: str) -> str:
    """Where anybody gets the object, if the bucket is public; asks nobody whether it is."""
    return f"{config.endpoint.rstrip('/')}/{config.bucket}/{quote(check_key(key))}"
