"""What requests and responses about files in parts look like; as in schemas.py."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from b2_resources.part_uploads import MOST_PARTS
from outreach_api.schemas import Shown, Strict


class PartShown(Shown):
    """A part that has arrived."""

    number: int
    size_bytes: int
    etag: str
    """The MD5 of its bytes on most servers."""


class PartsShown(Shown):
    """A file that is sent in parts: how it is cut, and which have arrived."""

    name: str
    size_bytes: int
    part_bytes: int
    """Of every part but the last."""

    parts: int
    """How many; they are numbered from 1."""

    arrived: Sequence[PartShown]


class PartsWanted(Strict):
    """Parts that are going to be sent now."""

    numbers: Annotated[
        list[Annotated[int, Field(ge=1, le=MOST_PARTS)]],
        Field(min_length=1, max_length=100, examples=[[1, 2, 3, 4]]),
    ]


class PartUrlShown(Shown):
    """Where to send one part: a PUT to the URL with exactly these headers."""

    number: int
    method: Literal["PUT"] = "PUT"
    url: str
    headers: dict[str, str]
    expires_at: datetime


class PartUrlList(Shown):
    """Where to send parts."""

    parts: Sequence[PartUrlShown]


class PartSent(Strict):
    """A part as its sender saw it arrive."""

    number: Annotated[int, Field(ge=1, le=MOST_PARTS)]
    etag: Annotated[str, Field(max_length=200)]
    """The header `ETag` that the PUT was answered with."""


class PartsSent(Strict):
    """All parts have been sent."""

    parts: Annotated[list[PartSent], Field(min_length=1, max_length=MOST_PARTS)]


class UploadedShown(Shown):
    """A file that has arrived whole."""

    name: str
    size_bytes: int
