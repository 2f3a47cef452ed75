"""What stands before every route: whose request it is, how often, and how large it may be.

Here and not in the routes, so that no route can forget it, and a path that does not exist says no
more to a stranger than one that does.
"""

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from b2_resources.signing import ROUTE
from outreach_api.callers import Callers
from outreach_api.collaborators import Collaborators
from outreach_api.refusals import ErrorCode, RefusedError, as_refused
from outreach_core.errors import OutreachError
from outreach_core.users import Caller

BODY_BYTES = 256 * 1024
"""Of a request; files go to signed URLs."""

OPEN_PATHS = {"/healthz", "/readyz", "/docs", "/openapi.json"}
"""What is the same for everybody; a browser asking for the documentation has no token."""

SIGNED = f"/{ROUTE}/"
"""Paths whose token is in the URL, and whose body is a file."""


class Doors:
    """ASGI middleware: lets in who has a token, and asks not too much."""

    def __init__(self, app: ASGIApp, collaborators: Collaborators) -> None:
        self._app, self._given = app, collaborators
        events = collaborators.b2_events
        # Its signature, of the whole body, is checked by its route.
        self._open_paths = OPEN_PATHS | ({events.path} if events else set())
        self._callers = Callers(collaborators.database)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http" or scope["path"].startswith(SIGNED):
            await self._app(scope, receive, send)
            return
        try:
            headers = Headers(scope=scope)
            if scope["path"] not in self._open_paths:
                caller = await self._caller(headers)
                scope.setdefault("state", {})["caller"] = caller
            _check_length(headers)
        except RefusedError as error:
            await error.response()(scope, receive, send)
            return
        except OutreachError as error:
            await as_refused(error).response()(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), send)

    async def _caller(self, headers: Headers) -> Caller:
        kind, _, token = headers.get("authorization", "").partition(" ")
        caller = None
        now = self._given.now()
        if kind.lower() == "bearer" and token:
            caller = await self._callers.caller_of(token.strip(), now=now)
        if caller is None:
            raise RefusedError(
                401,
                ErrorCode.UNAUTHORIZED,
                "send `Authorization: Bearer …` with a token from `outreach users`",
                headers={"www-authenticate": "Bearer"},
            )
        if caller.requests > self._given.limits.requests_per_minute:
            raise RefusedError(
                429,
                ErrorCode.TOO_MANY_REQUESTS,
                f"{self._given.limits.requests_per_minute} requests a minute are allowed",
                headers={"retry-after": str(60 - now.second)},
            )
        return caller


def caller_of(request: Request) -> Caller:
    """Whose request it is."""
    caller: Caller = request.state.caller
    return caller


def _check_length(headers: Headers) -> None:
    said = headers.get("content-length", "0")
    if not said.isascii() or not said.isdigit() or int(said[:20]) > BODY_BYTES:
        raise _too_large()


def _bounded(receive: Receive) -> Receive:
    """The same, for a body that does not say how long it is."""
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES:
            raise _too_large()
        return message

    return counted


def _too_large() -> RefusedError:
    return RefusedError(
        413,
        ErrorCode.REQUEST_TOO_LARGE,
        f"a request may have {BODY_BYTES} bytes: files go to the URLs of /upload-urls",
    )
