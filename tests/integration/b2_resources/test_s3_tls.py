"""S3Store over https, trusted and not, and through the proxy of a machine inside a company."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from b2_resources.bucket_doctor import check_bucket
from b2_resources.object_store import StoreRefusedError, StoreUnreachableError, get_bytes
from b2_resources.s3_store import S3Store
from outreach_core.errors import SettingsError
from tests.servers.connect_proxy import ConnectProxy
from tests.servers.rclone_s3 import RcloneS3, make_certificate

BODY = os.urandom(300_000)
LARGE = 20 * 1024 * 1024 + 7
USER = "worker:p%40ss"  # as in a URL


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, certificate: tuple[Path, Path]
) -> Iterator[RcloneS3]:
    with RcloneS3(tmp_path_factory.mktemp("s3"), certificate=certificate) as running:
        yield running


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path]) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))


@pytest.fixture
def proxy(trusted: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[ConnectProxy]:
    with ConnectProxy(user="worker:p@ss") as running:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{USER}@{running.address}")
        yield running


@pytest.mark.usefixtures("trusted")
def test_everything_works_over_tls(server: RcloneS3, tmp_path: Path) -> None:
    store = S3Store(server.config())
    path = tmp_path / "large"
    path.write_bytes(os.urandom(LARGE))
    store.put_file("tls/large é %+~", path)
    store.put_bytes("tls/small", BODY)
    store.get_file("tls/large é %+~", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == path.read_bytes()
    assert get_bytes(store, "tls/small") == BODY
    assert store.head("tls/small").size_bytes == len(BODY)
    assert [o.key for o in store.list_objects("tls/")] == ["tls/large é %+~", "tls/small"]


CALLS = {
    "put": lambda store: store.put_bytes("k", b"1"),
    "head": lambda store: store.head("k"),
    "get": lambda store: list(store.stream("k")),
    "list": lambda store: list(store.list_objects("a/")),
    "copy": lambda store: store.copy("k", "l"),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_certificate_nobody_vouches_for_is_refused_at_once(server: RcloneS3, call: str) -> None:
    store = S3Store(server.config())
    with pytest.raises(StoreRefusedError, match="not trusted here: self-signed") as refusal:
        CALLS[call](store)
    assert server.endpoint in str(refusal.value)
    assert "SSL_CERT_FILE" in str(refusal.value)
    assert store.meter.read().retried == 0


@pytest.mark.usefixtures("trusted")
def test_a_certificate_for_another_name_is_refused(server: RcloneS3) -> None:
    endpoint = server.endpoint.replace("127.0.0.1", "localhost")
    with pytest.raises(StoreRefusedError, match="localhost"):
        S3Store(replace(server.config(), endpoint=endpoint)).put_bytes("k", b"1")


def test_the_doctor_names_a_certificate_that_is_not_trusted(server: RcloneS3) -> None:
    (finding,) = check_bucket(server.config())
    assert finding.check == "endpoint"
    assert "not trusted" in finding.found


def test_the_proxy_of_the_machine_is_used(server: RcloneS3, proxy: ConnectProxy) -> None:
    store = S3Store(server.config())
    store.put_bytes("proxied", BODY)
    assert get_bytes(store, "proxied") == BODY
    assert proxy.tunnels == [server.endpoint.removeprefix("https://")]


def test_no_proxy_is_honoured(
    server: RcloneS3, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    S3Store(server.config()).put_bytes("direct", BODY)
    assert proxy.tunnels == []


def test_an_answer_lost_in_the_tunnel_does_not_make_a_second_version(
    server: RcloneS3, proxy: ConnectProxy
) -> None:
    store = S3Store(server.config())
    proxy.lose_answer_after = len(BODY)
    store.put_bytes("lost", BODY)
    traffic = store.meter.read()
    assert (traffic.class_a, traffic.class_b) == (1, 1)
    assert len(proxy.tunnels) == 2


def test_a_proxy_that_lets_nobody_through_is_named(server: RcloneS3, proxy: ConnectProxy) -> None:
    proxy.user = "somebody:else"
    store = S3Store(replace(server.config(), patience_seconds=0.2))
    with pytest.raises(StoreUnreachableError, match="407 Proxy Authentication") as error:
        store.put_bytes("k", b"1")
    assert "p%40ss" not in str(error.value)


@pytest.mark.parametrize("value", ["socks5://user:secret@127.0.0.1:1", "http://user:secret@[:1"])
def test_a_proxy_that_is_none_is_refused(
    server: RcloneS3, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    with pytest.raises(SettingsError, match="HTTPS_PROXY") as error:
        S3Store(server.config())
    assert "secret" not in str(error.value)
