"""What kind of file it is, by its content: names and declared types are what somebody wrote."""

import zipfile
from enum import StrEnum
from pathlib import Path

from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

WE_TAKE = "hand in CSV, TSV, JSON Lines, Parquet or XLSX"

STRANGERS = (
    (b"\x1f\x8b", "a gzip archive: unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it first"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it first"),
    (b"BZh", "a bzip2 archive: unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old or encrypted Excel file: save it as XLSX without a password"),
    (b"%PDF", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF8", "a picture"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
    (b"SQLite format 3", "an SQLite database"),
)


class FileKind(StrEnum):
    """The kinds we read."""

    DELIMITED = "CSV"
    JSON_LINES = "JSON Lines"
    PARQUET = "Parquet"
    XLSX = "XLSX"


def file_kind(path: Path) -> FileKind | None:
    """What the file's bytes say it is; None for text, which says what it is once it is decoded.

    Raises ToolRefusedError for an empty file and for kinds that are no table.
    """
    with path.open("rb") as file:
        head = file.read(1024)
    if not head.strip(b" \t\r\n\x00\xef\xbb\xbf\xff\xfe") and path.stat().st_size <= len(head):
        raise ToolRefusedError(ErrorCode.EMPTY_FILE, f"the file is empty: {WE_TAKE}")
    if head.startswith(b"PAR1"):
        return FileKind.PARQUET
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _workbook(path)
    for start, what in STRANGERS:
        if head.startswith(start):
            raise ToolRefusedError(
                ErrorCode.UNSUPPORTED_TYPE, f"this is {what}, not a table; {WE_TAKE}"
            )
    return None


def _workbook(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise ToolRefusedError(
            ErrorCode.BAD_XLSX, f"the file begins like XLSX but is cut off or damaged; {WE_TAKE}"
        ) from error
    if "xl/workbook.xml" not in names:
        raise ToolRefusedError(
            ErrorCode.UNSUPPORTED_TYPE,
            f"this is a zip archive and no XLSX workbook: unpack it first, then {WE_TAKE}",
        )
    return FileKind.XLSX
