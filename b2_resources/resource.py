"""The object store as Dagster sees it. What a store is and does is in the other files."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from b2_resources.build_store import open_store, parse_mode
from b2_resources.object_store import ObjectStore


class B2Resource(dg.ConfigurableResource[ObjectStore]):
    """Where published files go: a folder, or a bucket on Backblaze B2 or any other S3 server.

    Give the secret as `dg.EnvVar("B2_APPLICATION_KEY")`, so that Dagster shows the variable's name.
    """

    storage_mode: str = Field(
        default="local",
        description="STORAGE_MODE: local (a folder), s3 (a bucket) or hybrid (both).",
    )
    local_root: str = Field(default="", description="The folder of the local store, absolute.")
    endpoint: str = Field(
        default="", description="B2_ENDPOINT: https://s3.<region>.backblazeb2.com."
    )
    region: str = Field(default="", description="B2_REGION: the part of the endpoint after `s3.`.")
    key_id: str = Field(
        default="", description="B2_KEY_ID: an application key's id, 25 characters."
    )
    application_key: str = Field(
        default="", description="B2_APPLICATION_KEY: the secret of that application key."
    )
    bucket: str = Field(default="", description="B2_BUCKET: the bucket's name.")

    def create_store(self) -> ObjectStore:
        """The store; opens no connection yet. Raises SettingsError naming the wrong variable."""
        return open_store(
            mode=parse_mode(self.storage_mode),
            local_root=Path(self.local_root),
            endpoint=self.endpoint,
            region=self.region,
            key_id=self.key_id,
            application_key=self.application_key,
            bucket=self.bucket,
        )
