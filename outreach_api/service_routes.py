"""The service about itself: which tools it has, whether it is well, and its figures."""

from fastapi import APIRouter
from fastapi.responses import Response

from outreach_api.asking import Given, WhoCalls
from outreach_api.metering import Meters
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_api.schemas import Health, ToolList
from outreach_core.task_rows import counts_by_status

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def service_router(meters: Meters) -> APIRouter:
    """The routes, with the counts they show."""
    router = APIRouter(tags=["service"])

    @router.get("/tools")
    def tools(given: Given, _caller: WhoCalls) -> ToolList:
        """What can be done with a file; `parameters` of each tool is a JSON schema."""
        return ToolList.model_validate({"tools": [t.manifest for t in given.tools.values()]})

    @router.get("/healthz")
    def healthz() -> Health:
        """That the process answers. Needs no token."""
        return Health()

    @router.get("/readyz")
    def readyz(given: Given) -> Health:
        """That the database answers too. Needs no token."""
        with given.database.statements() as connection:
            connection.execute("SELECT FROM shq.tasks LIMIT 1")
        return Health()

    @router.get("/metrics", response_class=Response)
    def metrics(given: Given, caller: WhoCalls) -> Response:
        """Figures for Prometheus, about all users: with the token of an operator."""
        if not caller.is_operator:
            raise RefusedError(
                403, ErrorCode.NOT_ALLOWED, "for operators: `outreach users add NAME --operator`"
            )
        with given.database.statements() as connection:
            counts = counts_by_status(connection)
        return Response(meters.text(counts), media_type=PROMETHEUS)

    return router
