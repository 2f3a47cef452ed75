"""What is known of a file over all its destinations: the newest certainty, and what came after."""

from datetime import UTC, datetime, timedelta

from outreach_core.postgres import Postgres
from outreach_core.restorable_files import RecordedFile, known_places, recorded_files, sample_of

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def given(postgres: Postgres, path: str, *rows: tuple[str, str, str, int]) -> None:
    """Rows of destination, status, hash, and the hour it is known since."""
    with postgres.connect() as connection:
        for destination, status, hash_, hour in rows:
            at = NOON + timedelta(hours=hour)
            proven = at if status == "synced" else None
            connection.execute(
                "INSERT INTO shq.file_destinations (folder_id, destination, path, status, "
                "size_bytes, hash, proven_at, changed_at) "
                "VALUES ('docs', %s, %s, %s, 1, %s, %s, %s)",
                (destination, path, status, hash_, proven, at),
            )


CASES = {
    "the newest proof": ([("a", "synced", "1", 0), ("b", "synced", "2", 1)], ("2", False, False)),
    "gone later": ([("a", "synced", "1", 0), ("b", "deleted", "1", 1)], (None, True, False)),
    "again later": ([("a", "synced", "2", 2), ("b", "deleted", "1", 1)], ("2", False, False)),
    "newer nowhere": ([("a", "synced", "1", 0), ("b", "failed", "2", 1)], ("1", False, True)),
    "not everywhere": ([("a", "synced", "1", 1), ("b", "pending", "1", 2)], ("1", False, False)),
    "failed before": ([("a", "synced", "2", 2), ("b", "failed", "1", 1)], ("2", False, False)),
    "gone after": ([("a", "deleted", "1", 2), ("b", "failed", "1", 1)], (None, True, False)),
    "back nowhere": ([("a", "deleted", "1", 1), ("b", "pending", "1", 2)], (None, True, True)),
    "never anywhere": ([("a", "failed", "1", 1)], (None, False, True)),
}


def test_the_newest_certainty_counts_and_a_seed_chooses_the_same_again(postgres: Postgres) -> None:
    for path, (rows, _) in CASES.items():
        given(postgres, path, *rows)
    assert recorded_files(postgres, "docs") == {
        p: RecordedFile(*said) for p, (_, said) in CASES.items()
    }
    assert (
        known_places(postgres) == known_places(postgres, "docs") == [("docs", "a"), ("docs", "b")]
    )
    every = {file.path for file in sample_of(postgres, "docs", "a", files=99, seed="s")}
    assert every == {
        p for p, (rows, _) in CASES.items() if ("a", "synced") in {r[:2] for r in rows}
    }
    three = [sample_of(postgres, "docs", "a", files=3, seed="s") for _ in range(2)]
    assert three[0] == three[1]
    assert len(three[0]) == 3
