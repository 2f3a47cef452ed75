"""`outreach serve`: the HTTP API, until Ctrl-C; and the app that each of its processes runs."""

import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from outreach_assets.command_line.environment import load_settings
from outreach_assets.command_line.ports import refuse_taken
from outreach_core.errors import SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from outreach_api.collaborators import (
        B2Events,
        Collaborators,
        OfferedDestination,
        OfferedTool,
    )
    from outreach_core.settings import Settings

METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus-client's own variable: where the processes of one server count together."""


def serve(
    host: Annotated[
        str, typer.Option(help="Where it listens; put TLS before it where others reach it.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Its port.", min=1, max=65535)] = 8000,
    workers: Annotated[
        int, typer.Option(help="How many processes answer, of some 90 MB each.", min=1)
    ] = 2,
) -> None:
    """The HTTP API alone, until Ctrl-C; `/docs` shows what it can. `outreach users` lets people in.

    Examples: `outreach serve` · `outreach serve --host 0.0.0.0 --port 8080 --workers 4`
    """
    import uvicorn  # noqa: PLC0415

    settings = load_settings()
    refuse_taken(host, port)
    if "outreach_api_url" not in settings.model_fields_set:
        os.environ["OUTREACH_API_URL"] = f"http://{host}:{port}"  # noqa: TID251 for signed URLs
    _check_database(settings)
    with tempfile.TemporaryDirectory(prefix="outreach-metrics-") as folder:
        if workers > 1:
            os.environ[METRICS_FOLDER] = folder  # noqa: TID251 read by prometheus-client
        typer.echo(f"API: http://{host}:{port}/docs   (Ctrl-C stops it)")
        uvicorn.run(
            "outreach_assets.command_line.serve:application",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            log_level="warning",
            access_log=False,  # a signed URL is a key, and would stand in it
            server_header=False,
            timeout_graceful_shutdown=10,
        )


def application() -> "FastAPI":
    """The app of one process, from this process's settings."""
    from outreach_api.app import create_app  # noqa: PLC0415

    return create_app(collaborators_of(load_settings()))


def collaborators_of(settings: "Settings") -> "Collaborators":
    """What the settings name, opened for the API."""
    from b2_resources.build_store import (  # noqa: PLC0415
        build_signing,
        build_store,
        part_uploads_of,
    )
    from b2_resources.local_parts import LocalParts  # noqa: PLC0415
    from b2_resources.local_store import LocalStore  # noqa: PLC0415
    from b2_resources.signing import LocalSigning  # noqa: PLC0415
    from outreach_api.collaborators import ApiLimits, Collaborators, LocalFiles  # noqa: PLC0415
    from outreach_api.dagster_queue import DagsterQueue  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415
    from outreach_core.postgres_pool import PostgresPool  # noqa: PLC0415

    store = build_store(settings)
    signing = build_signing(settings, api_url=settings.outreach_api_url)
    parts = part_uploads_of(store)
    local = None
    if isinstance(store, LocalStore) and isinstance(signing, LocalSigning):
        local = LocalFiles(store=store, signing=signing, parts=LocalParts(store))
    folder = os.environ.get(METRICS_FOLDER)  # noqa: TID251 prometheus-client's, and no setting
    return Collaborators(
        database=PostgresPool(open_neon(settings)),
        store=store,
        signing=signing,
        parts=parts,
        tools=offered_tools(),
        destinations=offered_destinations(settings),
        queue=DagsterQueue(settings.outreach_ui_url),
        local_files=local,
        b2_events=_b2_events(settings),
        limits=ApiLimits(
            open_tasks=settings.outreach_open_tasks,
            requests_per_minute=settings.outreach_requests_per_minute,
        ),
        metrics_folder=Path(folder) if folder else None,
    )


def _b2_events(settings: "Settings") -> "B2Events | None":
    from outreach_api.collaborators import B2Events  # noqa: PLC0415

    secret = settings.outreach_b2_event_secret
    if secret is None:
        return None
    return B2Events(bucket=settings.b2_bucket or "", secret=secret.get_secret_value().encode())


def offered_tools() -> Mapping[str, "OfferedTool"]:
    """The tools as the API offers them, by id."""
    from outreach_api.collaborators import OfferedTool, WrongParametersError  # noqa: PLC0415
    from outreach_assets.tools.catalogue import TOOLS  # noqa: PLC0415
    from outreach_assets.tools.refusals import ToolRefusedError  # noqa: PLC0415
    from outreach_assets.tools.tool import Tool  # noqa: PLC0415

    def offered(tool: Tool) -> OfferedTool:
        def check(parameters: Mapping[str, object]) -> None:
            try:
                tool.checked_parameters(parameters)
            except ToolRefusedError as error:
                raise WrongParametersError(str(error)) from error

        return OfferedTool(manifest=tool.as_json(), check=check)

    return {tool.id: offered(tool) for tool in TOOLS}


def offered_destinations(settings: "Settings") -> Mapping[str, "OfferedDestination"]:
    """The destinations as the API offers them, by name."""
    from outreach_api.collaborators import OfferedDestination  # noqa: PLC0415
    from outreach_assets.steps.backups.places import unreachable  # noqa: PLC0415
    from outreach_core.destinations import all_destinations  # noqa: PLC0415

    return {
        name: OfferedDestination(
            place=one.root, missing=one.missing, unreachable=partial(unreachable, settings, one)
        )
        for name, one in all_destinations(settings).items()
    }


def _check_database(settings: "Settings") -> None:
    """Raise SettingsError before anything listens when the tables are not there."""
    from outreach_core.migrate import migration_status  # noqa: PLC0415
    from outreach_core.neon import open_neon  # noqa: PLC0415

    missing = [m.name for m in migration_status(open_neon(settings)) if m.applied_at is None]
    if missing:
        raise SettingsError(f"the database lacks {', '.join(missing)}: run `outreach db migrate`")
