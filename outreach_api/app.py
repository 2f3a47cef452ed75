"""The API around what it is given; started by outreach_assets/command_line/serve.py."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.security import HTTPBearer

from outreach_api import backup_routes, file_routes, part_routes, policy_routes, task_routes
from outreach_api.collaborators import Collaborators
from outreach_api.doors import Doors
from outreach_api.event_routes import events_router
from outreach_api.metering import Metering, Meters
from outreach_api.refusals import Refusal, add_refusals
from outreach_api.service_routes import service_router
from outreach_api.signed_routes import signed_router

DESCRIPTION = """Hand in a file, get a report and a cleaned file back.

1. `POST /tasks`: which tool, which files; the answer holds the task's id.
2. `POST /tasks/{id}/upload-urls`: where to PUT the files, within 15 minutes. A large one goes in
   parts: `POST /tasks/{id}/uploads/{name}`, `…/part-urls`, `…/complete`.
3. `POST /tasks/{id}/process`, then watch `GET /tasks/{id}` or `GET /tasks/{id}/events`.
4. `GET /tasks/{id}/downloads` or `GET /tasks/{id}/report`.

Administrators also say which folders are backed up where (`/folders/policies`), and see how that
goes (`/files`, `/backups/summary`).

Every request carries `Authorization: Bearer …`. Whatever is no success is answered
`{"detail", "error_code", "context"}`.
"""
WRONG = {"4XX": {"model": Refusal}, "5XX": {"model": Refusal}}

# The documentation shows that a token is needed; whether one is good is found out in doors.py.
SHOWN_BEARER = Depends(HTTPBearer(auto_error=False, description="`outreach users add NAME`"))


def create_app(collaborators: Collaborators) -> FastAPI:
    """The API, which closes the database's connections when it is stopped."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        collaborators.database.close()

    app = FastAPI(
        title="Outreach Workbench",
        description=DESCRIPTION,
        version="1",
        # Asked for on every request, and what is measured is told at /metrics.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        docs_url="/docs",
        responses=WRONG,  # type: ignore[arg-type]  # its type forbids "4XX", OpenAPI does not
    )
    app.state.collaborators = collaborators
    meters = Meters(collaborators.metrics_folder)
    for router in (
        task_routes.router,
        file_routes.router,
        part_routes.router,
        events_router(),
        policy_routes.router,
        backup_routes.router,
        service_router(meters),
    ):
        app.include_router(router, dependencies=[SHOWN_BEARER])
    if collaborators.local_files is not None:
        app.include_router(signed_router(collaborators.local_files))
    if collaborators.b2_events is not None:
        # Here and not above: a folder needs no S3 library.
        from outreach_api.b2_event_routes import b2_event_router  # noqa: PLC0415

        app.include_router(b2_event_router(collaborators.b2_events))
    add_refusals(app)
    app.add_middleware(Doors, collaborators=collaborators)
    app.add_middleware(Metering, meters=meters)
    return app
