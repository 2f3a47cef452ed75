"""A run in which nothing has changed writes and uploads nothing; one that cannot be sure writes."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from b2_resources import keys
from outreach_assets.steps.manifest import Manifest, all_manifests
from tests.given import a_company, a_person, given_rows, given_sql
from tests.integration.outreach_assets.assets.chain_at_hand import ChainAtHand

RENAME = "UPDATE marketing.company_master SET company_name = '{}'"


def published(chain: ChainAtHand) -> list[Manifest]:
    return list(all_manifests(chain.store, "WV"))


def exported(chain: ChainAtHand) -> dict[str, tuple[int, bytes]]:
    """Every file under exports/ with its inode, which is another one when it is written again."""
    exports = chain.home / "exports"
    paths = [path for path in exports.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(exports)): (path.stat().st_ino, path.read_bytes()) for path in paths
    }


def parquet_files(chain: ChainAtHand) -> dict[str, tuple[int, bytes]]:
    return {name: found for name, found in exported(chain).items() if name.endswith(".parquet")}


def given_a_published_state(chain: ChainAtHand) -> None:
    given_rows(chain.postgres, [a_company()], [a_person(), a_person("p2", email=None)])
    assert chain.run(["WV"]).success


@pytest.mark.slow
def test_what_is_unchanged_is_not_written_again(chain: ChainAtHand) -> None:
    given_a_published_state(chain)
    before = parquet_files(chain)
    result = chain.run(["WV"])
    assert result.success
    assert chain.endings(result)["WV"]["status"] == "unchanged"
    assert parquet_files(chain) == before
    assert len(published(chain)) == 1


def cut_short(file: Path) -> None:
    body = file.read_bytes()
    file.unlink()
    file.write_bytes(body[:-1])


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [Path.unlink, cut_short])
def test_a_file_that_is_not_whole_here_is_written_again(
    chain: ChainAtHand, spoil: Callable[[Path], None]
) -> None:
    given_a_published_state(chain)
    [only] = published(chain)
    newest = chain.home / "exports" / keys.newest_key("WV", "people", "bad")
    newest.unlink()
    spoil(chain.home / "exports" / only.file("people", "bad").key)
    result = chain.run(["WV"])
    assert result.success
    assert chain.endings(result)["WV"]["status"] == "unchanged"
    assert duckdb.sql(f"SELECT unique_id FROM '{newest}'").fetchall() == [("p2",)]
    assert len(published(chain)) == 1


@pytest.mark.slow
def test_a_column_that_has_another_name_is_a_change(chain: ChainAtHand) -> None:
    """Rows are compared by a hash that does not know what their columns are called."""
    given_a_published_state(chain)
    given_sql(chain.postgres, "ALTER TABLE marketing.people_master RENAME COLUMN bio TO biography")
    result = chain.run(["WV"])
    assert chain.endings(result)["WV"]["status"] == "published"
    _, second = published(chain)
    assert "biography" in dict(second.file("people", "good").columns)


@pytest.mark.slow
def test_rows_that_go_back_to_what_is_published_are_unchanged(chain: ChainAtHand) -> None:
    given_a_published_state(chain)
    given_sql(chain.postgres, RENAME.format("Other"))
    assert chain.run(["WV"]).success
    given_sql(chain.postgres, RENAME.format("Acme"))
    result = chain.run(["WV"])
    assert chain.endings(result)["WV"]["status"] == "published"
    assert len(published(chain)) == 3
