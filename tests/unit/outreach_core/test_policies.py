"""Which policy decides for a file: 200 cases by hand and by rule, and what is refused."""

import json
import subprocess
from dataclasses import replace
from itertools import product
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outreach_core.path_patterns import WrongPatternError, matches
from outreach_core.policies import (
    FolderPolicy,
    Source,
    WrongPolicyError,
    checked,
    deciding_policy,
    destinations_of,
    filter_rules,
    included_rules,
)
from tests.servers.rclone_s3 import rclone_binary


def a_policy(path: str, *, to: str = "local", **fields: object) -> FolderPolicy:
    folder_id = str(fields.pop("folder_id", f"id-{to}"))
    return FolderPolicy(folder_id=folder_id, name="N", path=path, destinations=(to,), **fields)


WIDE = a_policy("/a", to="wide")
DEEP = a_policy("/a/b", to="deep")
OWN = a_policy("/a/b/own", to="own", recursive=False)
OFF = a_policy("/a/b/off", to="off", enabled=False)
FEW = a_policy("/a/few", to="few", include=("*.csv", "/top/**"), exclude=("tmp/", "*~"))
CAFE = a_policy(normalize("NFC", "/é/ü"), to="cafe")
DRIVE = a_policy("/a", to="drive", source=Source.GOOGLE_DRIVE)
POLICIES = [WIDE, DEEP, OWN, OFF, FEW, CAFE, DRIVE]

BY_HAND = {
    "/a/x": "wide",
    "/a/c/d/e": "wide",
    "/a": None,
    "/ab/x": None,
    "/": None,
    "/x": None,
    "/a/b": "wide",
    "/a/b/x": "deep",
    "/a/bc/x": "wide",
    "/a/b.x": "wide",
    "/a/b/own": "deep",
    "/a/b/own/x": "own",
    "/a/b/own/sub/x": "deep",
    "/a/b/owner/x": "deep",
    "/a/b/off/x": "deep",
    "/a/few/x.csv": "few",
    "/a/few/deep/x.csv": "few",
    "/a/few/x.txt": None,
    "/a/few/tmp/x.csv": None,
    "/a/few/s/tmp/x.csv": None,
    "/a/few/top/x.txt": "few",
    "/a/few/s/top/x.txt": None,
    "/a/few/x.csv~": None,
    "/a/few/X.CSV": None,
    "/é/ü/x": "cafe",
    "/é/üa/x": None,
    "/é/u/x": None,
    "/A/x": None,
}


def ways_to_write(path: str) -> set[str]:
    doubled, dotted = path.replace("/", "//"), path.replace("/a/", "/./a/")
    return {form for one in (path, doubled, dotted) for form in (one, normalize("NFD", one))}


CASES = [(way, to) for path, to in BY_HAND.items() for way in sorted(ways_to_write(path))]
CASES += [
    (f"/a/{first}/{second}/f{end}", "deep" if first == "b" else "wide")
    for first, second, end in product(
        ("b", "bb", "B", "b b", "🐈", "%2F"),
        ("s", "own.", "fewer", "*", "[b]"),
        ("", ".", " ", "~"),
    )
]


def test_there_are_some_two_hundred_cases() -> None:
    assert len(CASES) >= 200


@pytest.mark.parametrize(("path", "to"), CASES)
def test_the_most_specific_enabled_policy_decides(path: str, to: str | None) -> None:
    assert destinations_of(POLICIES, Source.LOCAL, path) == ((to,) if to else ())
    assert destinations_of(POLICIES[::-1], Source.LOCAL, path) == ((to,) if to else ())


def test_a_path_of_another_source_is_another_file() -> None:
    assert destinations_of(POLICIES, Source.GOOGLE_DRIVE, "/a/b/x") == ("drive",)
    assert destinations_of(POLICIES, Source.STORE, "/a/b/x") == ()


def test_a_remote_and_its_folders_are_one_tree() -> None:
    whole = a_policy("nas:", to="whole", source=Source.REMOTE)
    part = a_policy("nas:/a/", to="part", source=Source.REMOTE)
    assert destinations_of([whole, part], Source.REMOTE, "nas:a/x") == ("part",)
    assert destinations_of([whole, part], Source.REMOTE, "nas:ab/x") == ("whole",)
    assert destinations_of([whole, part], Source.REMOTE, "nass:a/x") == ()


NAMES = st.text(st.sampled_from("ab.é"), min_size=1, max_size=2).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(lambda names: "/" + "/".join(names))


@given(st.lists(st.tuples(PATHS, st.booleans(), st.booleans()), max_size=6), PATHS)
def test_what_decides_covers_the_file_and_nothing_nearer_does(
    made: list[tuple[str, bool, bool]], path: str
) -> None:
    policies = [a_policy(p, recursive=r, enabled=e) for p, r, e in made]
    found = deciding_policy(policies, Source.LOCAL, path)
    folder = path.rsplit("/", 1)[0]
    able = [
        p.path
        for p in policies
        if p.enabled and (folder == p.path or (p.recursive and folder.startswith(p.path + "/")))
    ]
    assert (found.path if found else None) == max(able, key=len, default=None)


PATTERNS = [
    "*.csv",
    "/*.csv",
    "a/**",
    "/a/**",
    "a/",
    "**/x.csv",
    "[a-c].csv",
    "[^a-c].csv",
    "{a,bb}.csv",
    "?.csv",
    "\\*.csv",
    "{{[a-z]{2}}}.csv",
    "/a/*/x.csv",
    "a/*.csv",
    "a,b.csv",
    "**",
    "/*/**",
    "a.+b",
]
TREE = [
    *("a.csv", "bb.csv", "d.csv", "*.csv", "a,b.csv", "a/x.csv", "a/b/x.csv", "a/b/c/x.csv"),
    *("b/a/x.csv", "b/a/y.txt", "aa/x.csv", "x.csvx", "a.+b", "aab", "b/{a}.csv", "é.csv"),
]


def given_tree(folder: Path) -> None:
    for path in TREE:
        folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(path).touch()


def listed_by_rclone(folder: Path, rules: list[str]) -> set[str]:
    words = [word for rule in rules for word in ("--filter", rule)]
    command = [rclone_binary(), "lsjson", "-R", "--files-only", "--config", "", *words, folder]
    ran = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return {file["Path"] for file in json.loads(ran.stdout)}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_takes_what_rclone_takes(pattern: str, tmp_path: Path) -> None:
    given_tree(tmp_path)
    ours = {path for path in TREE if matches(pattern, path)}
    assert ours == listed_by_rclone(tmp_path, included_rules([pattern]))


def test_rclone_lists_for_each_policy_just_the_files_it_decides_for(tmp_path: Path) -> None:
    given_tree(tmp_path)
    at = str(tmp_path)
    policies = [
        a_policy(at, to="top", exclude=("*.txt", "{{a{2}}}/")),
        a_policy(f"{at}/a/b", to="own", recursive=False),
        a_policy(f"{at}/b", to="part", include=("*.txt", "/{a}*", "\\{a\\}.csv")),
        a_policy(f"{at}/b/a", to="off", enabled=False),
    ]
    for policy in policies[:3]:
        listed = listed_by_rclone(Path(policy.path), filter_rules(policy, policies))
        ours = {
            path
            for path in TREE
            if destinations_of(policies, Source.LOCAL, f"{at}/{path}") == policy.destinations
        }
        assert {str((Path(policy.path) / path).relative_to(at)) for path in listed} == ours
        assert ours


@pytest.mark.parametrize(
    "pattern", ["", "/", "***", "{a", "a}", "[a", "a]", "{a,{b}}", "{{(}}", "a\\"]
)
def test_a_pattern_that_rclone_could_not_read_is_refused(pattern: str) -> None:
    with pytest.raises(WrongPatternError, match="cannot be read"):
        checked(a_policy("/a", exclude=(pattern,)))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"folder_id": ""}, "a folder id has letters"),
        ({"folder_id": "a/b"}, "a folder id has letters"),
        ({"folder_id": ".."}, "does not begin with a dot"),
        ({"folder_id": "neon"}, "the database's own backup"),
        ({"name": " "}, "name is empty"),
        ({"destinations": ()}, "would back up nothing"),
        ({"destinations": ("local", "local")}, "named twice"),
        ({"path": "a/b"}, "begins with /"),
        ({"path": "/a/../b"}, "write where it leads"),
        ({"path": "/a\nb"}, "control character"),
        ({"source": Source.REMOTE}, "name:path"),
    ],
)
def test_a_policy_that_means_nothing_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(WrongPolicyError, match=says):
        checked(replace(a_policy("/a"), **changes))
