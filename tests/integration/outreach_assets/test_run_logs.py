"""What runs print, in a folder and in a real S3 bucket, as Dagster's page reads it back."""

from pathlib import Path

import pytest
from dagster._core.storage.compute_log_manager import ComputeIOType, ComputeLogManager
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from outreach_assets.run_logs import RunLogs
from outreach_core.errors import SettingsError
from tests.servers.rclone_s3 import RcloneS3

LINE = ["run", "compute_logs", "step"]


def opened(home: Path, monkeypatch: pytest.MonkeyPatch) -> ComputeLogManager:
    """As a machine with that home opens it."""
    monkeypatch.setenv("OUTREACH_HOME", str(home))
    return RunLogs.from_config_value(None, {})


def printed(logs: ComputeLogManager, said: str) -> None:
    with logs.open_log_stream(LINE, ComputeIOType.STDOUT) as stream:
        assert stream is not None
        stream.write(said)


def use(server: RcloneS3, monkeypatch: pytest.MonkeyPatch) -> None:
    config = server.config("bucket")
    for name in ("endpoint", "region", "key_id", "application_key", "bucket"):
        monkeypatch.setenv(f"B2_{name.upper()}", getattr(config, name))
    monkeypatch.setenv("OUTREACH_RUN_LOGS", "bucket")


def test_what_one_machine_printed_is_read_on_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RcloneS3(tmp_path / "s3", "bucket") as server:
        use(server, monkeypatch)
        printed(opened(tmp_path / "worker", monkeypatch), "a line\n")
        read = opened(tmp_path / "ui", monkeypatch).get_log_data(LINE)
    assert read.stdout == b"a line\n"
    assert (tmp_path / "s3/bucket/run-logs/storage/run/compute_logs/step.out").exists()


@pytest.mark.slow  # boto3 tries five times
def test_a_bucket_that_is_away_fails_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with RcloneS3(tmp_path / "s3", "bucket") as server:
        use(server, monkeypatch)
    printed(opened(tmp_path / "worker", monkeypatch), "a line\n")
    kept = tmp_path / "worker/dagster/storage/run/compute_logs/step.out"
    assert kept.read_text() == "a line\n"


def test_without_the_setting_they_stay_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = opened(tmp_path, monkeypatch)
    assert isinstance(logs, LocalComputeLogManager)
    printed(logs, "a line\n")
    assert (tmp_path / "dagster/storage/run/compute_logs/step.out").read_text() == "a line\n"


def test_a_bucket_that_nobody_named_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTREACH_RUN_LOGS", "bucket")
    with pytest.raises(SettingsError, match="OUTREACH_RUN_LOGS is bucket and there is none"):
        opened(tmp_path, monkeypatch)
