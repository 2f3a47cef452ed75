"""What is recorded of files when they change between one look and the next."""

from datetime import UTC, datetime

from outreach_core.file_destinations import (
    ListedFile,
    Place,
    copy_in,
    copy_in_bytes,
    copy_in_source,
    note_listings,
    note_tried,
)
from outreach_core.postgres import Connection, Postgres

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLACE = Place(folder_id="docs", destination="local", root="/backups/docs")


def recorded(connection: Connection) -> list[tuple[object, ...]]:
    return connection.execute(
        "SELECT path, status, size_bytes, hash FROM shq.file_destinations ORDER BY path"
    ).fetchall()


def test_a_file_that_grew_before_it_was_hashed_has_the_size_of_what_was_sent(
    postgres: Postgres,
) -> None:
    with postgres.connect() as connection:
        copy_in_source(connection, [ListedFile("log.txt", 100, None)], [("log.txt", "md5:b")])
        copy_in(connection, "listed_destination", [])
        found = note_listings(connection, PLACE, unread=[], now=NOON)
    assert [file.path for file in found.to_send] == ["log.txt"]
    with postgres.connect() as connection:
        copy_in(connection, "listed_destination", [ListedFile("log.txt", 150, "md5:b")])
        copy_in_bytes(connection, ())
        note_tried(connection, PLACE, {"log.txt": None}, [], unsaid="?", now=NOON)
        assert recorded(connection) == [("log.txt", "synced", 150, "md5:b")]


def test_hashes_go_to_the_files_they_are_of(postgres: Postgres) -> None:
    files = [ListedFile(path, 1, None) for path in ("a\tb\\c", "unreadable", " x")]
    hashes = [(" x", "md5:x"), ("a\tb\\c", "md5:a"), ("came later", "md5:l")]
    with postgres.connect() as connection:
        copy_in_source(connection, files, hashes)
        copy_in(connection, "listed_destination", [])
        found = note_listings(connection, PLACE, unread=[], now=NOON)
        assert (found.files, found.unreadable) == (3, 1)
        assert recorded(connection) == [
            (" x", "pending", 1, "md5:x"),
            ("a\tb\\c", "pending", 1, "md5:a"),
            ("unreadable", "failed", 1, None),
        ]
