"""Signed URLs of a local folder, served by us: the token in the URL says what is allowed.

A bucket does all this itself; there these routes do not exist.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from b2_resources.object_store import BLOCK_BYTES
from b2_resources.signing import ROUTE, Grant, TokenRefusedError, disposition_of
from outreach_api.collaborators import LocalFiles
from outreach_api.refusals import ErrorCode, RefusedError

# A report is a page: shown by itself it may style itself and run nothing, and asks nobody.
CONTENT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"

Token = Annotated[str, Query(max_length=4000)]


def signed_router(files: LocalFiles) -> APIRouter:
    """The routes that take these files' tokens."""
    router = APIRouter(prefix=f"/{ROUTE}", include_in_schema=False)

    @router.put("/{key:path}")
    async def put(key: str, request: Request, token: Token = "") -> Response:
        grant = _granted(files, request, key, token)
        _check_headers(request, grant)
        with files.store.temporary_file() as path:
            if await _received(request.stream(), path, grant.size_bytes) != grant.size_bytes:
                raise _refused("not as many bytes as were signed")
            await run_in_threadpool(
                files.store.put_file, key, path, content_type=grant.content_type
            )
        return Response(status_code=200)

    @router.get("/{key:path}")
    def get(key: str, request: Request, token: Token = "") -> FileResponse:
        grant = _granted(files, request, key, token)
        head = files.store.head(key)
        headers = {
            "x-content-type-options": "nosniff",
            "content-security-policy": CONTENT_POLICY,
            "cache-control": "private, no-store",
        }
        if grant.filename:
            headers["content-disposition"] = disposition_of(grant.filename)
        return FileResponse(files.store.path_of(key), headers=headers, media_type=head.content_type)

    return router


def _granted(files: LocalFiles, request: Request, key: str, token: str) -> Grant:
    now = request.app.state.collaborators.now()
    try:
        return files.signing.grant_of(token, method=request.method, key=key, now=now)
    except TokenRefusedError as error:
        raise _refused(str(error)) from error


def _check_headers(request: Request, grant: Grant) -> None:
    """As a bucket does: what was signed is what must be sent."""
    if request.headers.get("content-type") != grant.content_type:
        raise _refused("another content type than was signed")
    if request.headers.get("content-length") != str(grant.size_bytes):
        raise _refused("another content length than was signed, or none")


async def _received(blocks: AsyncIterator[bytes], path: Path, most_bytes: int) -> int:
    """Write the blocks as they come; how many bytes, which stop soon after what is allowed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, held = 0, bytearray()
    with path.open("xb") as file:
        try:
            async for block in blocks:
                held += block
                if written + len(held) > most_bytes:
                    return written + len(held)
                if len(held) >= BLOCK_BYTES:
                    written += await run_in_threadpool(file.write, bytes(held))
                    held.clear()
        except ClientDisconnect as error:
            raise _refused("the upload was broken off") from error
        written += await run_in_threadpool(file.write, bytes(held))
    return written


def _refused(says: str) -> RefusedError:
    return RefusedError(403, ErrorCode.LINK_REFUSED, says)
