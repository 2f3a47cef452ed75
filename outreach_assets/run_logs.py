"""What a run's process prints, kept on this machine or in the bucket: dagster.yaml names this.

A run's events are in Dagster's own storage (instance_storage.py).
"""

from collections.abc import Mapping
from typing import Any

from dagster._core.storage.compute_log_manager import ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData

from outreach_core.settings import RunLogsPlace, load_settings

FOLDER = "dagster/storage"
"""Below OUTREACH_HOME, where Dagster has its logs by default."""


class RunLogs(LocalComputeLogManager):
    """In a folder, or in the bucket with OUTREACH_RUN_LOGS=bucket."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing to configure in dagster.yaml: the settings say where it is."""
        return {}

    @classmethod
    def from_config_value(  # type: ignore[override]  # it gives one or the other
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003 empty, see config_type
    ) -> ComputeLogManager[Any]:
        """The one that this process's settings name. Raises SettingsError."""
        settings = load_settings()
        folder = str(settings.home / FOLDER)
        if settings.outreach_run_logs is RunLogsPlace.LOCAL:
            return cls(base_dir=folder, inst_data=inst_data)
        # Here and not above: dagster-aws takes seconds to import, and boto3 one more.
        from b2_resources.build_store import s3_config_of  # noqa: PLC0415
        from outreach_assets.bucket_run_logs import BucketRunLogs  # noqa: PLC0415

        return BucketRunLogs(s3_config_of(settings), folder, inst_data)
