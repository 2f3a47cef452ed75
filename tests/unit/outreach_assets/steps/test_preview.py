"""The first rows of a file as a table, with what is personal masked."""

from pathlib import Path

import duckdb
import pytest

from outreach_assets.steps.preview import preview_rows
from outreach_assets.tables.people import PEOPLE
from outreach_assets.tables.table import Verdict


def shown(folder: Path, email: str | None) -> str:
    """The preview's one cell for this email."""
    columns = ", ".join(f'NULL::VARCHAR AS "{c.name}"' for c in PEOPLE.columns if c.name != "email")
    path = folder / "people.parquet"
    with duckdb.connect() as duck:
        duck.execute(f"CREATE TABLE people AS SELECT {columns}, ?::VARCHAR AS email", [email])
        duck.execute(f"COPY people TO '{path}'")
        header, _, row = preview_rows(duck, path, PEOPLE, Verdict.GOOD).splitlines()
    cells = dict(zip(header.split(" | "), row.split(" | "), strict=True))
    return cells["email"]


@pytest.mark.parametrize(
    ("email", "masked"),
    [
        ("jane@example.com", "j•••@example.com"),
        ("x@jane.doe@example.com", "x•••@example.com"),
        ("jane.doe", "j•••"),
        ("jane@example.com (jane doe)", "j•••"),
        ("@jane", "@•••"),
        ("jane\ndoe@example.com", "j•••@example.com"),
        ("", ""),
        (None, "*NULL*"),
    ],
)
def test_an_email_keeps_its_first_character_and_its_domain(
    tmp_path: Path, email: str | None, masked: str
) -> None:
    assert shown(tmp_path, email) == masked
