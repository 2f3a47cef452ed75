"""What is backed up where, over HTTP, for administrators: destinations, files, and how all is."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated

from fastapi import APIRouter, Query

from outreach_api.asking import Administrator, Given
from outreach_api.backup_schemas import (
    BackupSummary,
    DestinationList,
    DestinationShown,
    FileList,
    shown_file,
    shown_summary,
)
from outreach_api.collaborators import OfferedDestination
from outreach_api.refusals import ErrorCode, RefusedError
from outreach_core.file_destinations import FileStatus, place_summaries
from outreach_core.file_search import FileFilter, FilePlace, find_files
from outreach_core.policy_table import list_policies

Text = Query(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")

router = APIRouter(tags=["backups"])


@router.get("/destinations")
def destinations(given: Given, _who: Administrator, *, check: bool = False) -> DestinationList:
    """Where backups can go, and what is missing; with `check`, also whether each answers now."""
    found = list(given.destinations.items())
    with ThreadPoolExecutor(len(found) or 1) as threads:
        problems = threads.map(lambda one: _problem(one[1], check=check), found)
        return DestinationList(
            destinations=[
                DestinationShown(
                    name=name,
                    place=one.place or None,
                    is_set_up=one.missing is None,
                    problem=problem,
                )
                for (name, one), problem in zip(found, problems, strict=True)
            ]
        )


@router.get("/files")
def files(  # noqa: PLR0913, PLR0917 a query has so many parts
    given: Given,
    _who: Administrator,
    folder_id: Annotated[str | None, Text] = None,
    destination: Annotated[str | None, Text] = None,
    status: FileStatus | None = None,
    search: Annotated[str | None, Text] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: Annotated[str | None, Query(max_length=20_000)] = None,
) -> FileList:
    """Files with all their destinations, page by page; `search` is found anywhere in a path."""
    wanted = FileFilter(folder_id=folder_id, destination=destination, status=status, text=search)
    after = _place_of(cursor) if cursor else None
    with given.database.statements() as connection:
        found = find_files(connection, wanted, after=after, limit=limit + 1)
    page = found[:limit]
    return FileList(
        files=[shown_file(file) for file in page],
        next_cursor=_cursor_after(page[-1].place) if len(found) > limit else None,
    )


@router.get("/backups/summary")
def summary(given: Given, _who: Administrator) -> BackupSummary:
    """How many files are where, by policy and destination, and what failed last."""
    return shown_summary(list_policies(given.database), place_summaries(given.database))


def _problem(destination: OfferedDestination, *, check: bool) -> str | None:
    if destination.missing or not check:
        return destination.missing
    return destination.unreachable()


def _cursor_after(place: FilePlace) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_of(cursor: str) -> FilePlace:
    try:
        place = FilePlace(*json.loads(base64.urlsafe_b64decode(cursor)))
        if "\x00" not in "".join(place):
            "".join(place).encode()  # half a character is none of ours
            return place
    except (ValueError, TypeError, RecursionError):
        pass
    raise RefusedError(
        400, ErrorCode.INVALID_CURSOR, "`cursor` is none: send `next_cursor` of the page before"
    )
