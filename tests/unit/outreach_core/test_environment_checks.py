"""What the doctor finds out without asking a service."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from outreach_core import environment_checks
from outreach_core.environment_checks import (
    check_home,
    check_neon_settings,
    check_versions,
    read_settings,
)
from outreach_core.findings import Result
from outreach_core.settings import Settings

GIGABYTE = 2**30


class Usage(NamedTuple):
    free: int


def home(path: Path) -> Settings:
    return Settings(outreach_home=path)


@pytest.mark.parametrize(
    ("free_gb", "result"), [(50, Result.OK), (4, Result.WARN), (0.5, Result.PROBLEM)]
)
def test_room_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gb: float, result: Result
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(int(free_gb * GIGABYTE)))
    finding = check_home(home(tmp_path / "new"))
    assert finding.result is result
    assert f"{free_gb:.1f} GB free" in finding.found
    assert not list((tmp_path / "new").iterdir())


def test_a_home_that_cannot_be_written_to_is_a_wrong_setting() -> None:
    finding = check_home(home(Path("/sys/outreach")))
    assert finding.result is Result.PROBLEM
    assert finding.is_setting
    assert "/sys/outreach cannot be written to" in finding.found


@pytest.mark.parametrize(
    ("host", "sslmode", "checks"),
    [
        ("ep-x-pooler.eu-central-1.aws.neon.tech", "require", ["pooler"]),
        ("ep-x.eu-central-1.aws.neon.tech", "verify-full", []),
        ("ep-x.neon.tech", "prefer", ["encryption"]),
        ("127.0.0.1", "disable", []),
    ],
)
def test_an_address_tells_something_already(host: str, sslmode: str, checks: list[str]) -> None:
    found = list(check_neon_settings(Settings(), host, sslmode))
    assert [f.check for f in found] == checks


def test_versions_are_named() -> None:
    packages, rclone = check_versions()
    assert "Python 3." in packages.found
    assert "duckdb 1." in packages.found
    assert packages.result is rclone.result is Result.OK


def test_a_missing_package_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_checks, "PACKAGES", (*environment_checks.PACKAGES, "no-such"))
    packages, _ = check_versions()
    assert packages.result is Result.PROBLEM
    assert "missing: no-such" in packages.found
    assert "uv sync" in packages.cure


def test_one_wrong_mail_setting_is_not_blamed_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {
        "OUTREACH_ALERT_EMAIL_TO": "ops@example.test",
        "OUTREACH_ALERT_EMAIL_FROM": "outreach@example.test",
        "OUTREACH_SMTP_HOST": "smtp.example.test:25",
        "OUTREACH_SMTP_USER": "mailer",
        "OUTREACH_SMTP_PASSWORD": "hunter22",
    }.items():
        monkeypatch.setenv(name, value)
    read = read_settings()
    assert [f.check for f in read.findings] == ["OUTREACH_SMTP_HOST"]
    assert read.settings.outreach_alert_email_to is None
