"""Every setting of the store changes something."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from b2_resources.build_store import build_store
from b2_resources.hybrid_store import HybridStore
from b2_resources.local_store import LocalStore
from b2_resources.resource import B2Resource
from b2_resources.s3_config import S3Config
from b2_resources.s3_store import S3Store
from outreach_core.errors import SettingsError
from outreach_core.settings import Settings

CONFIG = S3Config(
    endpoint="https://s3.us-west-004.backblazeb2.com",
    region="us-west-004",
    key_id="004aaaaaaaaaaaaaaaaaaaaaa",
    application_key="K004bbbbbbbbbbbbbbbbbbbbbbbbbbb",
    bucket="my-bucket",
)
S3_FIELDS = ["endpoint", "region", "key_id", "application_key", "bucket"]
OTHER = {"endpoint": "https://s3.example.test", "storage_mode": "hybrid", "local_root": "/other"}


def s3_resource(**changes: str) -> B2Resource:
    fields = {name: getattr(CONFIG, name) for name in S3_FIELDS}
    return B2Resource(**{"storage_mode": "s3", **fields, **changes})


def config_of(resource: B2Resource) -> S3Config:
    store = resource.create_store()
    assert isinstance(store, S3Store)
    return store._config


@pytest.mark.parametrize("field", S3_FIELDS)
def test_each_field_reaches_the_store(field: str) -> None:
    other = OTHER.get(field, "other")
    changed = config_of(s3_resource(**{field: other}))
    assert changed == replace(CONFIG, **{field: other})


def test_the_mode_chooses_the_store(tmp_path: Path) -> None:
    local = B2Resource(storage_mode="local", local_root=str(tmp_path)).create_store()
    assert isinstance(local, LocalStore)
    assert local.place_of("k") == str(tmp_path / "k")
    assert s3_resource().create_store().place_of("k") == "s3://my-bucket/k"
    hybrid = s3_resource(storage_mode="hybrid", local_root=str(tmp_path)).create_store()
    assert isinstance(hybrid, HybridStore)
    assert hybrid.near.place_of("k") == str(tmp_path / "k")
    assert hybrid.far.place_of("k") == "s3://my-bucket/k"


def test_a_mode_that_does_not_exist_is_named() -> None:
    with pytest.raises(SettingsError, match=r"STORAGE_MODE is 'ftp'.*local, s3, hybrid"):
        s3_resource(storage_mode="ftp").create_store()


@pytest.mark.parametrize("field", S3_FIELDS)
def test_an_empty_field_is_named(field: str) -> None:
    with pytest.raises(SettingsError, match=f"B2_{field.upper()}"):
        s3_resource(**{field: ""}).create_store()


def test_a_field_may_be_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_MODE", "local")
    monkeypatch.setenv("SOME_ROOT", "/somewhere")

    @dg.asset
    def place(store: B2Resource) -> str:
        return store.create_store().place_of("k")

    resource = B2Resource(storage_mode=dg.EnvVar("SOME_MODE"), local_root=dg.EnvVar("SOME_ROOT"))
    result = dg.materialize([place], resources={"store": resource})
    assert result.output_for_node("place") == "/somewhere/k"


def test_every_field_says_what_it_is() -> None:
    assert all(field.description for field in B2Resource.model_fields.values())


def test_plain_http_is_for_this_machine_only() -> None:
    replace(CONFIG, endpoint="http://127.0.0.1:9000")
    with pytest.raises(SettingsError, match="https"):
        replace(CONFIG, endpoint="http://s3.example.test")
    with pytest.raises(SettingsError, match="B2_ENDPOINT"):
        replace(CONFIG, endpoint="s3.us-west-004.backblazeb2.com")


def test_the_secret_is_shown_nowhere() -> None:
    store = S3Store(CONFIG)
    for shown in (repr(CONFIG), str(CONFIG), repr(store), repr(vars(store))):
        assert CONFIG.application_key not in shown


def test_settings_choose_the_store(tmp_path: Path) -> None:
    local = build_store(Settings(_env_file=None, outreach_home=tmp_path, storage_mode="local"))
    assert local.place_of("k") == str(tmp_path / "store" / "k")
    fields = {f"b2_{name}": getattr(CONFIG, name) for name in S3_FIELDS}
    store = build_store(Settings(_env_file=None, storage_mode="s3", **fields))
    assert isinstance(store, S3Store)
    assert store._config == CONFIG
