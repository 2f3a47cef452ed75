"""A run's printed lines in the bucket, by dagster-aws, so that any UI shows any worker's.

Which runs' lines go there is said in run_logs.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError
from dagster import get_dagster_logger
from dagster._serdes import ConfigurableClassData
from dagster_aws.s3 import S3ComputeLogManager

from b2_resources.keys import RUN_LOGS_PREFIX
from b2_resources.s3_config import S3Config
from b2_resources.s3_signing import boto3_client

SHOWN_AFTER_SECONDS = 10
"""How old what a running step has printed may be on the page; each look is one PUT of the file."""


class BucketRunLogs(S3ComputeLogManager):
    """dagster-aws's, with a client that B2 understands; a bucket that is away fails no run."""

    def __init__(
        self, config: S3Config, local_folder: str, inst_data: ConfigurableClassData | None
    ) -> None:
        super().__init__(
            bucket=config.bucket,
            local_dir=local_folder,
            inst_data=inst_data,
            prefix=RUN_LOGS_PREFIX,
            endpoint_url=config.endpoint,
            region=config.region,
            skip_empty_files=True,
            upload_interval=SHOWN_AFTER_SECONDS,
        )
        # Its own would take keys from the environment and send checksums that B2 refuses.
        self._s3_session = boto3_client(config)

    def on_progress(self, log_key: Sequence[str]) -> None:
        """Bring there what has been printed so far."""
        with _said_alone():
            super().on_progress(log_key)  # type: ignore[no-untyped-call]

    def _on_capture_complete(self, log_key: Sequence[str]) -> None:
        with _said_alone():  # and the lines stay on the worker's disk, where they are removed last
            super()._on_capture_complete(log_key)


@contextmanager
def _said_alone() -> Iterator[None]:
    """What a run prints is not worth its failure."""
    try:
        yield
    except (BotoCoreError, ClientError, Boto3Error) as error:
        get_dagster_logger().warning("what was printed did not reach the bucket: %s", error)
