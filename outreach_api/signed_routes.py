"""Signed URLs of a local folder, served by us: the token in the URL says what is allowed.

A bucket does all this itself; there these routes do not exist.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from b2_resources.object_store import BLOCK_BYTES
from b2_resources.part_uploads import PartsGoneError
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
            got = await _received(request.stream(), path, grant.size_bytes)
            if got.size_bytes != grant.size_bytes:
                raise _refused("not as many bytes as were signed")
            await run_in_threadpool(_kept, files, grant, path, got.md5)
        return Response(status_code=200, headers={"etag": f'"{got.md5}"'})

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


@dataclass(frozen=True, kw_only=True)
class _Received:
    """A body that was written to a file."""

    size_bytes: int
    md5: str


def _kept(files: LocalFiles, grant: Grant, path: Path, md5: str) -> None:
    """The file is now what was granted: an object, or a part of one."""
    if not grant.part:
        files.store.put_file(grant.key, path, content_type=grant.content_type)
        return
    try:
        files.parts.put_part(grant.key, grant.upload_id, grant.part, path, md5=md5)
    except PartsGoneError:
        raise _refused("this upload was completed or aborted") from None


def _granted(files: LocalFiles, request: Request, key: str, token: str) -> Grant:
    now = request.app.state.collaborators.now()
    try:
        return files.signing.grant_of(token, method=request.method, key=key, now=now)
    except TokenRefusedError as error:
        raise _refused(str(error)) from error


def _check_headers(request: Request, grant: Grant) -> None:
    """As a bucket does: what was signed is what must be sent."""
    # Of a part it is not signed, by a bucket either: the object has the one it was begun with.
    if not grant.part and request.headers.get("content-type") != grant.content_type:
        raise _refused("another content type than was signed")
    if request.headers.get("content-length") != str(grant.size_bytes):
        raise _refused("another content length than was signed, or none")


async def _received(blocks: AsyncIterator[bytes], path: Path, most_bytes: int) -> _Received:
    """Write the blocks as they come, which stop soon after what is allowed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    written, held = 0, bytearray()
    digest = hashlib.md5(usedforsecurity=False)

    def write(block: bytes) -> int:
        digest.update(block)
        return file.write(block)

    with path.open("xb") as file:
        try:
            async for block in blocks:
                held += block
                if written + len(held) > most_bytes:
                    break
                if len(held) >= BLOCK_BYTES:
                    written += await run_in_threadpool(write, bytes(held))
                    held.clear()
        except ClientDisconnect as error:
            raise _refused("the upload was broken off") from error
        written += await run_in_threadpool(write, bytes(held))
    return _Received(size_bytes=written, md5=digest.hexdigest())


def _refused(says: str) -> RefusedError:
    return RefusedError(403, ErrorCode.LINK_REFUSED, says)
