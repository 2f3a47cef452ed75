"""`outreach store`: objects in the store, one command for each thing one does with them.

What concerns the store as a whole (migrate, verify, doctor, …) is in store_care.py.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line import store_care
from outreach_assets.command_line.as_json import AsJson
from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.recorded import recorded
from outreach_assets.command_line.show import print_json, print_table

if TYPE_CHECKING:
    from b2_resources.object_store import ObjectStore, StoredObject
    from outreach_core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="What lies in the object store.")
app.command("reconcile")(store_care.reconcile)
app.command("migrate")(store_care.migrate)
app.command("verify")(store_care.verify)
app.command("doctor")(store_care.doctor)
app.command("setup")(store_care.setup)
app.command("usage")(store_care.usage)

Key = Annotated[str, typer.Argument(help="As `outreach store ls` shows it.")]


@app.command("ls")
def list_command(
    prefix: Annotated[str, typer.Argument(help="Only keys that begin with this.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """The objects under a prefix.

    Examples: `outreach store ls` · `outreach store ls outreach/wv/ --json`
    """
    found = list(_store().list_objects(prefix))
    if as_json:
        print_json(
            {"objects": [{"key": o.key, "bytes": o.size_bytes, "at": o.modified_at} for o in found]}
        )
        return
    rows = [[o.key, o.size_bytes, f"{o.modified_at:%Y-%m-%d %H:%M:%S}"] for o in found]
    print_table(f"{len(found):,} objects", ["key", "bytes", "modified (UTC)"], rows)


@app.command("get")
def get_command(
    key: Key,
    target: Annotated[Path, typer.Argument(help="A file, or a folder to put it in.")] = Path(),
    *,
    as_json: AsJson = False,
) -> None:
    """An object as a file, proven by its sha256.

    Example: `outreach store get outreach/wv/people/bad/people_bad.parquet .`
    """
    store = _store()
    path = target / key.rsplit("/", 1)[-1] if target.is_dir() else target
    with _progress(store, key, store.head(key).size_bytes):
        found = store.get_file(key, path)
    _say(found, str(path), as_json=as_json)


@app.command("put")
def put_command(
    path: Annotated[Path, typer.Argument(help="The file.", exists=True, dir_okay=False)],
    key: Annotated[str, typer.Argument(help="Its key; the file's name below it if it ends in /.")],
    *,
    as_json: AsJson = False,
) -> None:
    """A file as an object, unless the very same bytes are there already.

    Example: `outreach store put report.csv reports/2026/`
    """
    from b2_resources.scripts import put_if_changed  # noqa: PLC0415
    from outreach_core.audit import OBJECT_PUT  # noqa: PLC0415

    settings = load_settings()
    store = _store(settings)
    key = key + path.name if key.endswith("/") else key
    with (
        recorded(settings, OBJECT_PUT) as event,
        _progress(store, key, path.stat().st_size),
    ):
        found = put_if_changed(store, key, path)
        event |= {"key": found.key, "bytes": found.size_bytes, "sha256": found.sha256}
    _say(found, store.place_of(key), as_json=as_json)


@app.command("rm")
def remove_command(
    keys: Annotated[list[str], typer.Argument(help="Keys; with --prefix, how they begin.")],
    *,
    prefix: Annotated[
        bool, typer.Option("--prefix", help="Everything that begins with these.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Objects away; those that are not there are fine. Asks before it removes a prefix.

    Examples: `outreach store rm reports/old.csv` · `outreach store rm --prefix reports/2024/`
    """
    from outreach_core.audit import OBJECTS_REMOVED  # noqa: PLC0415

    settings = load_settings()
    store = _store(settings)
    doomed = [o.key for p in keys for o in store.list_objects(p)] if prefix else keys
    if prefix and not yes:
        typer.confirm(f"remove {len(doomed):,} objects?", abort=True)
    with recorded(settings, OBJECTS_REMOVED) as event:
        for count, key in enumerate(doomed, 1):
            store.delete(key)
            event |= {"removed": count, "prefixes" if prefix else "keys": keys}
    typer.echo(f"removed {len(doomed):,}")


@app.command("url")
def url_command(
    key: Key,
    *,
    minutes: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=10080)] = 60,
    upload_bytes: Annotated[
        int | None, typer.Option(help="Sign an upload of exactly so many bytes instead.")
    ] = None,
    content_type: Annotated[str, typer.Option(help="Of the upload.")] = "text/csv",
    public: Annotated[bool, typer.Option("--public", help="Of a public bucket, unsigned.")] = False,
) -> None:
    """A URL to download an object, or to upload one. Whoever has it can use it: mind where it goes.

    Examples: `outreach store url reports/a.csv` · `outreach store url in/a.csv --upload-bytes 1200`
    """
    from b2_resources.build_store import build_signing  # noqa: PLC0415
    from b2_resources.scripts import public_url  # noqa: PLC0415

    if public:
        typer.echo(public_url(key))
        return
    signing = build_signing(load_settings())
    valid_for = timedelta(minutes=minutes)
    if upload_bytes is None:
        typer.echo(signing.sign_download(key, valid_for=valid_for))
        return
    signed = signing.sign_upload(
        key, content_type=content_type, size_bytes=upload_bytes, valid_for=valid_for
    )
    typer.echo(signed.url)


def _store(settings: "Settings | None" = None) -> "ObjectStore":
    from b2_resources.build_store import build_store  # noqa: PLC0415

    return build_store(settings or load_settings())


def _say(found: "StoredObject", place: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "key": found.key,
                "place": place,
                "bytes": found.size_bytes,
                "sha256": found.sha256,
                "metadata": dict(found.metadata),
            }
        )
    else:
        typer.echo(f"{place}  {found.size_bytes:,} bytes  sha256 {found.sha256}")


@contextmanager
def _progress(store: "ObjectStore", key: str, size_bytes: int) -> Iterator[None]:
    """A bar of bytes on a terminal, for stores that meter them."""
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress  # noqa: PLC0415

    console, meter = Console(stderr=True), getattr(store, "meter", None)
    if meter is None or not console.is_terminal:
        yield
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(key.rsplit("/", 1)[-1], total=size_bytes)
        with meter.watched_by(lambda moved: bar.advance(task, moved)):
            yield
