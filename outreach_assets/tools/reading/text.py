"""Text as UTF-8 with one kind of line end, whatever it came as.

A file that is that already is read where it lies. What its lines mean is for the readers.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from outreach_assets.tools.reading.kinds import WE_TAKE
from outreach_assets.tools.refusals import ErrorCode, ToolRefusedError

CHUNK = 1024 * 1024
LONGEST_LINE_CHUNKS = 4
SHOWN_LINES = 5

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
UTF_8 = "UTF-8"
WINDOWS_1252 = "Windows-1252"

ESCAPED = re.compile("[\udc80-\udcff]")
BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")
CONTROLS = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")


@dataclass(frozen=True, kw_only=True)
class Text:
    """A UTF-8 file and how it was before."""

    path: Path
    encoding: str
    """As a person calls it."""


@dataclass(kw_only=True)
class Scan:
    """What one pass over the bytes has found so far."""

    lines: int = 0
    returns: int = 0
    pairs: int = 0
    characters_beyond_ascii: int = 0
    bad_bytes: int = 0
    bad_lines: list[int] = field(default_factory=list)
    chunks_without_line_end: int = 0

    @property
    def mixes_line_ends(self) -> bool:
        """DuckDB's strict parser stops at the second kind (seen, 1.5.5)."""
        return bool(self.returns and self.lines) and not self.returns == self.lines == self.pairs


def utf_8_text(source: Path, folder: Path) -> Text:
    """The source as UTF-8; rewritten into the folder where it is not.

    Raises ToolRefusedError for bytes that are no text, naming their lines.
    """
    head = _head(source)
    for bom, codec, called in BOMS:
        if head.startswith(bom):
            if codec == "utf-16":
                return _rewritten(source, folder, codec, called)
            return _as_utf_8(source, folder, called)
    unmarked = _utf_16_without_mark(head)
    if unmarked is not None:
        return _rewritten(source, folder, unmarked, "UTF-16")
    return _as_utf_8(source, folder, UTF_8)


def _head(source: Path) -> bytes:
    with source.open("rb") as file:
        return file.read(64 * 1024)


def _utf_16_without_mark(head: bytes) -> str | None:
    """Western text in UTF-16 has a NUL in every other byte, always on the same side."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) / 2
    if odd > half * 0.4 and even < half * 0.02:
        return "utf-16-le"
    if even > half * 0.4 and odd < half * 0.02:
        return "utf-16-be"
    return None


def _as_utf_8(source: Path, folder: Path, called: str) -> Text:
    scan = _scanned(source)
    if scan.bad_bytes:
        # A byte that is wrong in UTF-8 is the rule in Windows-1252 and an accident in UTF-8.
        if scan.characters_beyond_ascii < scan.bad_bytes and called == UTF_8:
            return _rewritten(source, folder, "cp1252-or-latin-1", WINDOWS_1252)
        named = ", ".join(f"{line:,}" for line in scan.bad_lines[:SHOWN_LINES])
        raise ToolRefusedError(
            ErrorCode.BAD_ENCODING,
            f"{scan.bad_bytes:,} bytes are no UTF-8, though the rest is: mend line {named}"
            f"{' and others' if scan.bad_bytes > SHOWN_LINES else ''}, or save the file as UTF-8",
        )
    if scan.mixes_line_ends:
        return _rewritten(source, folder, "utf-8-sig", called)
    return Text(path=source, encoding=called)


def _scanned(source: Path) -> Scan:
    scan = Scan()
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    after_return = False
    with source.open("rb") as file:
        while chunk := file.read(CHUNK):
            _refuse_nul_and_long(chunk, scan)
            if not chunk.isascii() or decoder.getstate()[0]:
                _judge(decoder.decode(chunk), scan)
            scan.lines += chunk.count(b"\n")
            scan.pairs += after_return and chunk.startswith(b"\n")
            if b"\r" in chunk:
                scan.returns += chunk.count(b"\r")
                scan.pairs += chunk.count(b"\r\n")
            after_return = chunk.endswith(b"\r")
    _judge(decoder.decode(b"", final=True), scan)
    return scan


def _refuse_nul_and_long(chunk: bytes, scan: Scan) -> None:
    at = chunk.find(b"\0")
    if at >= 0:
        line = scan.lines + chunk.count(b"\n", 0, at) + 1
        if len(CONTROLS.findall(chunk, 0, 4096)) > 40:
            raise ToolRefusedError(
                ErrorCode.UNSUPPORTED_TYPE, f"this is no text and no table we know: {WE_TAKE}"
            )
        raise ToolRefusedError(
            ErrorCode.NUL_BYTES,
            f"line {line:,} holds a NUL byte, which no text has: the file is damaged or not text",
        )
    if b"\n" in chunk or b"\r" in chunk:
        scan.chunks_without_line_end = 0
        return
    scan.chunks_without_line_end += 1
    if scan.chunks_without_line_end >= LONGEST_LINE_CHUNKS:
        raise line_too_long(scan.lines + 1)


def line_too_long(line: int) -> ToolRefusedError:
    """The refusal of a line longer than any table's."""
    return ToolRefusedError(
        ErrorCode.LINE_TOO_LONG,
        f"line {line:,} is longer than 2 MB: is its line end missing, or a quote never closed?",
    )


def _judge(text: str, scan: Scan) -> None:
    """Count what is beyond ASCII, and the lines of bytes that are no UTF-8."""
    scan.characters_beyond_ascii += len(BEYOND_ASCII.findall(text))
    for bad in ESCAPED.finditer(text):
        scan.bad_bytes += 1
        if len(scan.bad_lines) < SHOWN_LINES:
            line = scan.lines + text.count("\n", 0, bad.start()) + 1
            if line not in scan.bad_lines:
                scan.bad_lines.append(line)


def _rewritten(source: Path, folder: Path, codec: str, called: str) -> Text:
    """A copy in UTF-8 whose lines all end in a line feed."""
    target = folder / f"{source.stem[:40]}.utf-8.txt"
    line, without_end = 0, 0
    with target.open("w", encoding="utf-8", newline="") as copy:
        for piece in _decoded(source, codec):
            if "\0" in piece:
                line += piece.count("\n", 0, piece.index("\0")) + 1
                raise ToolRefusedError(
                    ErrorCode.NUL_BYTES, f"line {line:,} holds a NUL, which no text has"
                )
            without_end = 0 if "\n" in piece else without_end + 1
            if without_end >= LONGEST_LINE_CHUNKS:
                raise line_too_long(line + 1)
            line += piece.count("\n")
            copy.write(piece)
    return Text(path=target, encoding=called)


def _decoded(source: Path, codec: str) -> Iterator[str]:
    if codec == "cp1252-or-latin-1":
        codec = "cp1252" if _fits(source, "cp1252") else "latin-1"
    line = 1
    with source.open(encoding=codec, errors="strict") as file:
        while True:
            try:
                piece = file.read(CHUNK)
            except UnicodeError as error:
                raise ToolRefusedError(
                    ErrorCode.BAD_ENCODING,
                    f"the text is no longer {codec} after line {line:,}: is the file cut off?",
                ) from error
            if not piece:
                return
            yield piece
            line += piece.count("\n")


def _fits(source: Path, codec: str) -> bool:
    """Windows-1252 leaves five bytes undefined; a file that has one is Latin-1."""
    try:
        with source.open(encoding=codec) as file:
            while file.read(CHUNK):
                pass
    except UnicodeError:
        return False
    return True
