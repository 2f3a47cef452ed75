"""What was there at a time: each case worked out by hand from what runs did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_assets.steps.backups.as_it_was import Held, Kept, UnknownTimeError, as_of
from outreach_assets.steps.backups.run_notes import Change, RunNote, Was


def note(version: str, **was: str) -> RunNote:
    """A run's note; what it sent has the path and version for its hash."""
    changes = []
    for path, said in was.items():
        before, _, gone = said.partition("-")
        hash_ = None if gone else f"md5:{path}{version}"
        changes.append(Change(path=path, was=Was(before), hash=hash_))
    return RunNote(version=version, changes=changes)


def below(held: Held) -> dict[str, str]:
    return {path: kept.below for path, kept in held.files.items()}


def kept(where: str, *paths: str) -> dict[str, Kept]:
    return {path: Kept(below=where, size_bytes=1) for path in paths}


# a: from the first run on, replaced by the third. b: from the second on. c: removed by the third,
# again there from the fourth on.
NOTES = [
    note("1", a="absent", c="absent"),
    note("2", b="absent"),
    note("3", a="kept", c="kept-gone"),
    note("4", c="absent"),
]
NEWEST = kept("files", "a", "b", "c")
VERSIONS = {"3": kept("versions/3", "a", "c")}


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("1", {"a": "versions/3", "c": "versions/3"}),
        ("1x", {"a": "versions/3", "c": "versions/3"}),
        ("2", {"a": "versions/3", "b": "files", "c": "versions/3"}),
        ("3", {"a": "files", "b": "files"}),
        ("4", {"a": "files", "b": "files", "c": "files"}),
        ("9", {"a": "files", "b": "files", "c": "files"}),
    ],
)
def test_a_file_is_what_the_first_later_run_found(at: str, expected: dict[str, str]) -> None:
    assert below(as_of(at, NEWEST, VERSIONS, NOTES)) == expected


def test_what_was_sent_by_then_is_what_it_may_be() -> None:
    assert as_of("3", NEWEST, VERSIONS, NOTES).sent["a"] == {"md5:a1", "md5:a3"}
    assert as_of("2", NEWEST, VERSIONS, NOTES).sent["a"] == {"md5:a1"}
    assert as_of("2x", NEWEST, VERSIONS, NOTES).version == "2"


def test_what_a_run_without_versions_took_is_named_and_not_replaced_by_what_came_later() -> None:
    notes = [*NOTES, note("5", a="lost", b="lost-gone")]
    held = as_of("4", kept("files", "a", "c"), VERSIONS, notes)
    assert (below(held), held.lost) == ({"c": "files"}, ["a", "b"])
    assert as_of("5", kept("files", "a", "c"), VERSIONS, notes).lost == []


def test_what_was_damaged_and_sent_again_is_as_it_was() -> None:
    again = RunNote(version="5", changes=[Change(path="b", was=Was.LOST, hash="md5:b2")])
    assert below(as_of("4", NEWEST, VERSIONS, [*NOTES, again]))["b"] == "files"
    other = RunNote(version="5", changes=[Change(path="a", was=Was.LOST, hash="md5:a1")])
    assert as_of("4", NEWEST, VERSIONS, [*NOTES, other]).lost == ["a"]


def test_a_file_that_came_later_is_not_lost_though_it_was_taken_later_still() -> None:
    notes = [*NOTES, note("5", d="absent"), note("6", d="lost-gone")]
    assert as_of("4", NEWEST, VERSIONS, notes).lost == []


def test_a_run_that_failed_to_bring_a_file_changes_nothing_of_what_was() -> None:
    # The fifth run kept a, then could not send it; the sixth did both.
    notes = [*NOTES, note("5", a="kept"), note("6", a="kept")]
    versions = {**VERSIONS, "5": kept("versions/5", "a"), "6": kept("versions/6", "a")}
    assert below(as_of("5", NEWEST, versions, notes))["a"] == "versions/6"
    assert below(as_of("4", NEWEST, versions, notes))["a"] == "versions/5"
    # And one that did not even come to keep it.
    assert below(as_of("4", NEWEST, VERSIONS, [*NOTES, note("5", a="kept")]))["a"] == "files"


@pytest.mark.parametrize(
    ("at", "notes", "says"), [("0", NOTES, "the first is 1"), ("5", [], "there is none")]
)
def test_a_time_before_the_first_note_is_refused(at: str, notes: list[RunNote], says: str) -> None:
    with pytest.raises(UnknownTimeError, match=says):
        as_of(at, NEWEST, VERSIONS, notes)


class Place:
    """A destination and what runs make of it, the way back_up.py goes about it."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.versions: dict[str, dict[str, str]] = {}
        self.notes: list[RunNote] = []
        self.was: list[dict[str, str]] = []

    def run(self, source: dict[str, str], *, keeps: bool, steps: int) -> None:
        """`steps`: so many changes are made before the run is killed."""
        version, before = f"{len(self.was):03}", Was.KEPT if keeps else Was.LOST
        sent = {p: c for p, c in source.items() if self.files.get(p) != c}
        gone = sorted(self.files.keys() - source.keys())
        changes = [
            Change(path=p, was=before if p in self.files else Was.ABSENT, hash=f"md5:{c}")
            for p, c in sent.items()
        ]
        changes += [Change(path=p, was=before) for p in gone]
        work: list[tuple[str, str]] = [("keep", p) for p in sent if p in self.files and keeps]
        work += [("send", p) for p in sent] + [("remove", p) for p in gone]
        if work:
            self.notes.append(RunNote(version=version, changes=changes))
        for step, path in work[:steps]:
            if keeps and step != "send":
                self.versions.setdefault(version, {})[path] = self.files[path]
            if step == "send":
                self.files[path] = sent[path]
            if step == "remove":
                del self.files[path]
        self.was.append(dict(self.files))

    def kept(self) -> dict[str, dict[str, Kept]]:
        return {
            version: {p: Kept(below=version, size_bytes=0, hash=f"md5:{c}") for p, c in f.items()}
            for version, f in {**self.versions, "files": self.files}.items()
        }


SOURCES = st.dictionaries(st.sampled_from("abc"), st.sampled_from("123"), min_size=1)
RUNS = st.tuples(SOURCES, st.sampled_from([True, True, True, False]), st.integers(0, 9))


@given(st.lists(RUNS, min_size=1, max_size=8))
def test_every_time_of_every_history_is_what_was_or_is_called_lost(
    runs: list[tuple[dict[str, str], bool, int]],
) -> None:
    place = Place()
    for source, keeps, steps in runs:
        place.run(source, keeps=keeps, steps=steps)
    versions = place.kept()
    newest = versions.pop("files")
    for number, was in enumerate(place.was):
        at = f"{number:03}"
        if at < place.notes[0].version:
            continue
        held = as_of(at, newest, versions, place.notes)
        found = {path: str(kept.hash).removeprefix("md5:") for path, kept in held.files.items()}
        assert found == {path: c for path, c in was.items() if path not in held.lost}
        assert all(kept.hash in held.sent[path] for path, kept in held.files.items())
        if all(keeps for _, keeps, _ in runs):
            assert not held.lost
