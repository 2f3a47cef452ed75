"""`outreach store` where the store as a whole is meant: move, compare, mend, set up, count.

Exit codes beside 0: 1 failed, 2 wrong settings, 3 done but for some objects.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.exit_codes import PARTLY
from outreach_assets.command_line.recorded import recorded
from outreach_assets.command_line.show import print_json, print_table
from outreach_core.errors import SettingsError
from outreach_core.findings import Finding

if TYPE_CHECKING:
    from b2_resources.object_store import ObjectStore
    from b2_resources.s3_store import S3Store
    from b2_resources.verify import Expected
    from outreach_core.settings import Settings


class Mode(StrEnum):
    """StorageMode again, without the settings, which take long to import."""

    LOCAL = "local"
    S3 = "s3"
    HYBRID = "hybrid"


From = Annotated[Mode, typer.Option("--from", help="The store to read.")]
To = Annotated[Mode, typer.Option("--to", help="The store to compare with or fill.")]
Prefix = Annotated[str, typer.Option(help="Only keys that begin with this.")]


def reconcile(*, as_json: AsJson = False) -> None:
    """Bring the bucket of a hybrid store up to date with what an outage kept from it.

    Example: `outreach store reconcile`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from b2_resources.hybrid_store import HybridStore  # noqa: PLC0415
    from outreach_core.audit import STORE_RECONCILED  # noqa: PLC0415

    settings = load_settings()
    store = build_store(settings)
    if not isinstance(store, HybridStore):
        raise SettingsError("STORAGE_MODE is not hybrid: there is nothing to reconcile")
    with recorded(settings, STORE_RECONCILED) as event:
        done = store.reconcile()
        if done.put or done.deleted or done.failed:
            event |= {**vars(done), "failed": len(done.failed)}
    report = {**vars(done), "failed": dict(done.failed)}
    _report("reconciled", report, as_json=as_json)
    raise typer.Exit(PARTLY if done.failed or done.left else 0)


def migrate(*, source: From, to: To, prefix: Prefix = "", as_json: AsJson = False) -> None:
    """Copy everything one store holds into another; proven, resumable, deletes nothing.

    Example: `outreach store migrate --from local --to s3`
    """
    from rich.console import Console  # noqa: PLC0415

    from b2_resources import migrate as migration  # noqa: PLC0415
    from outreach_core.audit import STORE_MIGRATED  # noqa: PLC0415

    first, second = _two_stores(source, to)
    with (
        recorded(load_settings(), STORE_MIGRATED) as event,
        Console(stderr=True).status("moving") as status,
    ):
        count = 0

        def heard(key: str, outcome: migration.Outcome) -> None:
            nonlocal count
            count += 1
            event.update({"from": source, "to": to, "prefix": prefix, "objects": count})
            status.update(f"{count:,} objects, last {outcome} {key}")

        done = migration.migrate(first, second, prefix=prefix, heard=heard)
        if count:
            event.update({**vars(done), "failed": len(done.failed)})
    _report("migrated", {**vars(done), "failed": dict(done.failed)}, as_json=as_json)
    raise typer.Exit(PARTLY if done.failed else 0)


def verify(
    *,
    source: Annotated[Mode | None, typer.Option("--from", help="Compare this store …")] = None,
    to: Annotated[Mode | None, typer.Option("--to", help="… with this one.")] = None,
    how: Annotated[
        str, typer.Option(help="listing (sizes), hash (sha256 kept) or bytes (all are read).")
    ] = "hash",
    prefix: Prefix = "",
    as_json: AsJson = False,
) -> None:
    """Compare two stores, or (without --from and --to) the store with its manifests.

    Examples: `outreach store verify` · `outreach store verify --from local --to s3 --how bytes`
    """
    from b2_resources.build_store import build_store  # noqa: PLC0415
    from b2_resources.verify import How, verify_expected, verify_stores  # noqa: PLC0415

    try:
        closely = How(how)
    except ValueError:
        raise typer.BadParameter(f"{how!r}: expected {', '.join(How)}") from None
    if source and to:
        done = verify_stores(*_two_stores(source, to), closely, prefix=prefix)
    elif source or to:
        raise typer.BadParameter("--from and --to go together")
    else:
        store = build_store(load_settings())
        done = verify_expected(store, _expected(store, prefix), closely)
    if as_json:
        print_json({"checked": done.checked, "differences": done.differences})
    elif done.differences:
        rows = [[key, wrong.value] for key, wrong in done.differences.items()]
        print_table(f"{done.checked:,} checked, {len(rows):,} differ", ["key", "what"], rows)
    else:
        typer.echo(f"{done.checked:,} objects checked, all alike")
    raise typer.Exit(1 if done.differences else 0)


def doctor(*, as_json: AsJson = False) -> None:
    """Which of the usual mistakes it is: settings first, then the bucket, one capability each.

    Example: `outreach store doctor`
    """
    from outreach_assets.command_line.doctor import (  # noqa: PLC0415
        as_object,
        exit_code,
        print_findings,
    )

    findings = list(_findings(load_settings()))
    if as_json:
        print_json(as_object(findings))
    else:
        print_findings(findings)
    raise typer.Exit(exit_code(findings))


def setup(
    *,
    origin: Annotated[
        list[str] | None,
        typer.Option(help="A web page that may upload, as https://host; may be repeated."),
    ] = None,
    hidden_days: Annotated[
        int, typer.Option(help="How long replaced and deleted versions are kept.", min=1)
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Make the bucket's rules: browser uploads, hidden versions, forgotten uploads.

    Example: `outreach store setup --origin https://outreach.example.com --hidden-days 30`
    """
    from datetime import UTC, datetime  # noqa: PLC0415

    from b2_resources.bucket_setup import set_up  # noqa: PLC0415
    from outreach_assets.command_line.doctor import as_object, print_findings  # noqa: PLC0415
    from outreach_core.audit import BUCKET_SET_UP  # noqa: PLC0415

    now = datetime.now(UTC)  # noqa: TID251 an edge: a command
    with recorded(load_settings(), BUCKET_SET_UP) as event:
        findings = []
        for found in set_up(_bucket(), origins=origin or [], hidden_days=hidden_days, now=now):
            findings.append(found)
            event |= {"rules": {f.check: f.result for f in findings}, "hidden_days": hidden_days}
    if as_json:
        print_json(as_object(findings))
    else:
        print_findings(findings)


def usage(*, prefix: Prefix = "", as_json: AsJson = False) -> None:
    """Objects, bytes, hidden versions and an estimate of the month's bill for storage.

    Example: `outreach store usage --json`
    """
    from b2_resources.bucket_setup import usage as usage_of  # noqa: PLC0415
    from b2_resources.build_store import build_store  # noqa: PLC0415

    found = usage_of(build_store(load_settings()), prefix=prefix)
    said = {**vars(found), "month_dollars": round(found.month_dollars, 4)}
    _report("usage", said, as_json=as_json)


def _findings(settings: "Settings") -> Iterator[Finding]:
    from b2_resources.build_store import build_store, s3_config_of  # noqa: PLC0415
    from b2_resources.probe import probe_store  # noqa: PLC0415
    from b2_resources.settings_doctor import B2Settings, check_settings  # noqa: PLC0415

    key = settings.b2_application_key
    if settings.b2_bucket is None or key is None:
        yield from probe_store(build_store(settings))
        return
    wrong = check_settings(
        B2Settings(
            endpoint=settings.b2_endpoint or "",
            region=settings.b2_region or "",
            key_id=settings.b2_key_id or "",
            application_key=key.get_secret_value(),
            bucket=settings.b2_bucket,
        )
    )
    yield from wrong
    if any(found.result == "problem" for found in wrong):
        return
    from b2_resources.bucket_doctor import check_bucket  # noqa: PLC0415

    yield from check_bucket(s3_config_of(settings))


def _two_stores(source: Mode, to: Mode) -> "tuple[ObjectStore, ObjectStore]":
    from b2_resources.build_store import build_store, parse_mode, s3_config_of  # noqa: PLC0415

    if source is to:
        raise typer.BadParameter("--from and --to name the same store")
    settings = load_settings()
    if {source, to} != {Mode.LOCAL}:
        s3_config_of(settings)  # says which variables are missing
    return build_store(settings, parse_mode(source)), build_store(settings, parse_mode(to))


def _bucket() -> "S3Store":
    from b2_resources.build_store import s3_config_of  # noqa: PLC0415
    from b2_resources.s3_store import S3Store  # noqa: PLC0415

    return S3Store(s3_config_of(load_settings()))


def _expected(store: "ObjectStore", prefix: str) -> "Iterator[Expected]":
    from b2_resources.verify import Expected  # noqa: PLC0415
    from outreach_assets.steps.manifest import all_manifests  # noqa: PLC0415
    from outreach_core.states import ALL_STATES  # noqa: PLC0415

    for state in ALL_STATES:
        for manifest in all_manifests(store, state):
            for file in manifest.files:
                if file.key.startswith(prefix):
                    yield Expected(key=file.key, size_bytes=file.size_bytes, sha256=file.sha256)


def _report(title: str, report: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    failed = report.pop("failed", None)
    print_table(title, ["what", "how much"], [[n.replace("_", " "), v] for n, v in report.items()])
    if isinstance(failed, dict) and failed:
        print_table("failed", ["key", "why"], [[key, why] for key, why in failed.items()])
