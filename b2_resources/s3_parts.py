"""Uploads in parts by people without our keys, in a bucket: the provider keeps the parts.

The requests are those of s3_multipart.py, which sends our own files.
"""

from collections.abc import Sequence

from b2_resources.keys import check_key
from b2_resources.part_uploads import ArrivedPart, PartsGoneError, PartUploads
from b2_resources.s3_client import S3Client
from b2_resources.s3_multipart import (
    abort,
    begin_upload,
    listed_parts,
    open_uploads,
    send_complete,
)


class S3Parts(PartUploads):
    """See PartUploads."""

    def __init__(self, client: S3Client) -> None:
        self._client = client

    @property
    def max_parts(self) -> int:
        """See PartUploads."""
        return self._client.config.max_parts

    def begin(self, key: str, *, content_type: str) -> str:
        """See PartUploads."""
        return begin_upload(self._client, check_key(key), {"content-type": content_type})

    def arrived(self, key: str, upload_id: str) -> list[ArrivedPart]:
        """See PartUploads."""
        found = listed_parts(self._client, check_key(key), upload_id)
        if found is None:
            raise self._gone(key)
        return found

    def complete(self, key: str, upload_id: str, parts: Sequence[ArrivedPart]) -> None:
        """See PartUploads."""
        etags = [(part.number, part.etag) for part in parts]
        got = send_complete(self._client, check_key(key), upload_id, etags)
        if got.status == 404:
            raise self._gone(key)

    def abort_all(self, key: str) -> int:
        """See PartUploads."""
        left = [one for one in open_uploads(self._client, check_key(key)) if one.key == key]
        for one in left:
            abort(self._client, one)
        return len(left)

    def _gone(self, key: str) -> PartsGoneError:
        return PartsGoneError(f"{self._client.place_of(key)}: no such upload is open there")
