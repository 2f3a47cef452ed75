"""The manifest of a database backup: read as it was written, or not at all."""

import pytest

from outreach_assets.steps.backups.database.receipt import (
    ColumnFacts,
    LeftOut,
    Receipt,
    ReceiptUnreadableError,
    Stage,
    Statement,
    TableFacts,
    read_receipt,
)

COLUMN = ColumnFacts(name='a "b"', type="numeric(5,2)")
TABLE = TableFacts(
    name="shq.t", columns=(COLUMN,), rows=2, row_hash="9" * 25, file="f", size_bytes=3, sha256="s"
)
RECEIPT = Receipt(
    version="20260504030201",
    run_id="run-1",
    postgres="18.4",
    duckdb="1.5.5",
    migrations=("0001_ä.sql",),
    tables=(TABLE, TABLE),
    statements=(
        Statement(kind="table", name="shq.t", stage=Stage.BEFORE_ROWS, sql="CREATE …\n"),
        Statement(kind="index", name="shq.i", stage=Stage.AFTER_ROWS, sql="CREATE …"),
    ),
    left_out=(LeftOut(name="grants", why="because"),),
)


def test_a_receipt_is_read_as_it_was_written() -> None:
    found = read_receipt(RECEIPT.body)
    assert found == RECEIPT
    assert (found.rows, found.size_bytes) == (4, 6)
    assert [one.name for one in found.at(Stage.AFTER_ROWS)] == ["shq.i"]


def test_a_byte_that_is_another_anywhere_is_seen() -> None:
    body = RECEIPT.body
    for at in range(len(body)):
        with pytest.raises(ReceiptUnreadableError):
            read_receipt(body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :])


def test_half_a_receipt_is_none() -> None:
    for body in (b"", RECEIPT.body[:100], RECEIPT.body[:-1], RECEIPT.body + b"\n"):
        with pytest.raises(ReceiptUnreadableError):
            read_receipt(body)


def test_one_of_a_newer_version_says_so() -> None:
    body = RECEIPT.model_copy(update={"run_id": None}).body
    with pytest.raises(ReceiptUnreadableError, match="written by a newer one"):
        read_receipt(body)
