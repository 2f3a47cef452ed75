from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from b2_resources.bucket_doctor import check_bucket
from b2_resources.bucket_setup import set_up, usage
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_core.findings import Finding, Result
from tests.servers.fault_proxy import FaultProxy
from tests.servers.rclone_s3 import RcloneS3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def proxy(server: RcloneS3) -> Iterator[FaultProxy]:
    with FaultProxy(server) as running:
        yield running


def problems(config: S3Config) -> list[Finding]:
    return [found for found in check_bucket(config) if found.result is not Result.OK]


def test_a_good_bucket_has_no_problem_and_keeps_nothing(proxy: FaultProxy) -> None:
    store = S3Store(proxy.config())
    before = list(store.list_objects())
    found = list(check_bucket(proxy.config()))
    assert {f.result for f in found} == {Result.OK}
    assert "list, write, read, delete" in found[-1].found
    assert list(store.list_objects()) == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"application_key": "K004wrongwrongwrongwrongwrongww"}, "secret does not belong"),
        ({"key_id": "004unknownunknownunknownu"}, "key id is not known"),
        ({"key_id": "0123456789ab"}, "master key"),
        ({"bucket": "no-such-bucket"}, "no bucket of this name"),
        ({"endpoint": "http://127.0.0.1:1"}, "does not answer"),
    ],
)
def test_who_is_not_let_in_is_told_why(
    proxy: FaultProxy, changes: dict[str, str], says: str
) -> None:
    config = replace(proxy.config(), **changes)
    (found,) = problems(config)
    assert says in found.found
    assert found.cure
    assert config.application_key not in str(found)


@pytest.mark.parametrize("capability", ["list", "write", "read", "delete"])
def test_a_missing_capability_is_named(proxy: FaultProxy, capability: str) -> None:
    proxy.personality.denied = {capability}
    (found,) = problems(proxy.config())
    assert found.found == f"the key may not {capability}"
    assert f"{capability}Files" in found.cure


def test_a_key_for_something_else_is_told_so(proxy: FaultProxy) -> None:
    proxy.personality.denied = {"list", "write", "read", "delete"}
    (found,) = problems(proxy.config())
    assert "restricted to another bucket or prefix" in found.found


def test_a_wrong_clock_and_a_public_bucket_are_noticed(proxy: FaultProxy) -> None:
    proxy.personality.clock_seconds = 300
    proxy.personality.is_public = True
    clock, public = problems(proxy.config())
    assert "behind the server's" in clock.found
    assert "anybody may read" in public.found


def test_setup_makes_its_rules_once_and_keeps_those_of_others(proxy: FaultProxy) -> None:
    store = S3Store(proxy.config())
    theirs = b"<LifecycleConfiguration><Rule><ID>theirs</ID></Rule></LifecycleConfiguration>"
    proxy.personality.rules["outreach-test", "lifecycle"] = theirs
    for _ in range(2):
        found = list(
            set_up(store, origins=["https://a.test"], hidden_days=30, now=datetime.now(UTC))
        )
        assert [f.result for f in found] == [Result.OK] * 3
    rules = proxy.personality.rules["outreach-test", "lifecycle"].decode()
    assert rules.count("outreach-workbench") == rules.count("theirs") == 1
    assert "<NoncurrentDays>30<" in rules
    assert "https://a.test" in proxy.personality.rules["outreach-test", "cors"].decode()


def test_setup_says_where_the_provider_refuses(proxy: FaultProxy) -> None:
    proxy.personality.lifecycle = False
    found = set_up(S3Store(proxy.config()), origins=[], hidden_days=30, now=datetime.now(UTC))
    lifecycle, _ = found
    assert lifecycle.result is Result.WARN
    assert "the provider refused" in lifecycle.found


def test_usage_counts_what_is_hidden(proxy: FaultProxy, server: RcloneS3) -> None:
    store = S3Store(proxy.config())
    store.put_bytes("u/a", b"x" * 100)
    store.put_bytes("u/a", b"x" * 300)
    store.put_bytes("u/b", b"x" * 50)
    store.delete("u/b")
    found = usage(store, prefix="u/")
    assert (found.objects, found.size_bytes) == (1, 300)
    assert (found.hidden_versions, found.hidden_bytes) == (3, 150)
    assert found.month_dollars == pytest.approx(450 / 1e12 * 6)
    plain = usage(S3Store(server.config()), prefix="u/")
    assert (plain.objects, plain.size_bytes, plain.hidden_versions) == (1, 300, None)
