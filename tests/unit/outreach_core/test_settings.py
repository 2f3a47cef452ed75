"""A wrong setting is refused by its name, with what was expected and without any secret."""

import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from outreach_assets.definitions import default_resources
from outreach_core.errors import SettingsError
from outreach_core.setting_problems import WrongSettingsError
from outreach_core.settings import (
    PROJECT_FOLDER,
    Settings,
    StorageMode,
    load_settings,
    unknown_variables,
    variable_names,
)

BUCKET = {
    "B2_ENDPOINT": "https://s3.us-west-004.backblazeb2.com",
    "B2_REGION": "us-west-004",
    "B2_KEY_ID": "004aaaaaaaaaaaaaaaaaaaaaa",
    "B2_APPLICATION_KEY": "K004bbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "B2_BUCKET": "my-bucket",
}
NEON = {
    "NEON_HOST": "ep-x.neon.tech",
    "NEON_DATABASE": "sales",
    "NEON_USER": "reader",
    "NEON_PASSWORD": "hunter22",
}
MAIL = {
    "OUTREACH_ALERT_EMAIL_TO": "ops@example.test, boss@example.test",
    "OUTREACH_ALERT_EMAIL_FROM": "outreach@example.test",
    "OUTREACH_SMTP_HOST": "smtp.example.test",
    "OUTREACH_SMTP_USER": "mailer",
    "OUTREACH_SMTP_PASSWORD": "hunter22",
}
Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings of an environment that holds these variables and none other of ours."""

    def load_with(**variables: str) -> Settings:
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            return load_settings()

    return load_with


def refusal(load: Load, **variables: str) -> str:
    with pytest.raises(WrongSettingsError) as refused:
        load(**variables)
    return str(refused.value)


def test_nothing_set_works_on_this_machine_alone(load: Load) -> None:
    settings = load()
    assert settings.uses_embedded_postgres
    assert settings.store_mode is StorageMode.LOCAL
    assert settings.home == PROJECT_FOLDER / ".outreach"


def test_every_variable_is_read(load: Load, tmp_path: Path) -> None:
    values = {
        **NEON,
        **BUCKET,
        "NEON_CONNECTION_STRING": "postgresql://reader:hunter22@ep-x.neon.tech/sales",
        "NEON_PORT": "5433",
        "NEON_SSLMODE": "verify-full",
        "STORAGE_MODE": "hybrid",
        "B2_VALIDATION_FAILURES_PREFIX": "bad/",
        "OUTREACH_HOME": str(tmp_path),
        "OUTREACH_DAGSTER_POSTGRES_URL": "postgresql://d:e@f/g",
        "OUTREACH_RUN_LOGS": "bucket",
        "OUTREACH_STATES_PER_RUN": "3",
        "OUTREACH_DUCKDB_MEMORY_MB": "65",
        "OUTREACH_DUCKDB_THREADS": "2",
        "OUTREACH_DUCKDB_TEMP_GB": "7",
        "OUTREACH_TOOL_MEMORY_MB": "600",
        "OUTREACH_TOOL_SECONDS": "60",
        "OUTREACH_STORAGE_BUDGET_DOLLARS": "2.5",
        "OUTREACH_KEEP_SNAPSHOTS": "4",
        "OUTREACH_KEEP_DAYS": "5",
        "OUTREACH_MAX_BAD_SHARE": "0.2",
        "OUTREACH_MAX_BAD_SHARE_BY_STATE": "WV=0.25,PR=0.5",
        "OUTREACH_MAX_ROW_CHANGE": "0.4",
        "OUTREACH_MAX_ROW_CHANGE_BY_STATE": "unassigned=2.0",
        "OUTREACH_COMPANY_NOT_VALID": "error",
        "OUTREACH_ALLOW_MASTER_WRITES": "True",
        "OUTREACH_API_URL": "https://api.example.test",
        "OUTREACH_API_TOKEN": "ow_hunter22",
        "OUTREACH_OPEN_TASKS": "7",
        "OUTREACH_REQUESTS_PER_MINUTE": "70",
        "OUTREACH_INBOX_MINUTES": "15",
        "OUTREACH_B2_EVENT_SECRET": "hunter22" * 4,
        "OUTREACH_UI_URL": "https://dagster.example.test",
        "OUTREACH_ALERT_WEBHOOK_URL": "https://chat.example.test/services/T0/B0/s3cret",
        **MAIL,
        "OUTREACH_SMTP_PORT": "2525",
        "OUTREACH_SMTP_SECURITY": "tls",
        "OUTREACH_SCHEDULE_TIMEZONE": "America/New_York",
        "OUTREACH_NIGHTLY_REFRESH_SCHEDULE": "*/5 1-4 * jan-mar mon,fri",
        "OUTREACH_STORE_USAGE_SCHEDULE": "0 0 29 2 *",
        "OUTREACH_EXPORT_FAILURES_SCHEDULE": "0 1 * * *",
        "OUTREACH_AUDIT_EXPORT_SCHEDULE": "1 1 * * *",
        "OUTREACH_RESTORE_DRILL_SCHEDULE": "2 2 * * *",
        "OUTREACH_VERIFY_SNAPSHOTS_SCHEDULE": "3 3 * * *",
        "OUTREACH_RETENTION_SCHEDULE": "4 4 * * *",
        "OUTREACH_MORNING_REPORT_SCHEDULE": "5 4 * * *",
        "OUTREACH_TASK_UPKEEP_SCHEDULE": "6 4 * * *",
        "OUTREACH_BACKUP_SCHEDULE": "7 4 * * *",
        "OUTREACH_BACKUP_DRILL_SCHEDULE": "8 4 * * *",
        "OUTREACH_BACKUP_VERIFY_SCHEDULE": "8 5 * * *",
        "OUTREACH_BACKUP_VERIFY_SHARE": "0.5",
        "OUTREACH_BACKUP_DATABASE_SCHEDULE": "9 4 * * *",
        "OUTREACH_BACKUP_DATABASE_DRILL_SCHEDULE": "9 5 * * *",
        "OUTREACH_BACKUP_DATABASE_KEEP": "3",
        "OUTREACH_BACKUP_DATABASE_KEEP_DAYS": "4",
        "OUTREACH_GOOGLE_DRIVE_SERVICE_ACCOUNT_FILE": "/etc/drive.json",
        "OUTREACH_GOOGLE_DRIVE_TOKEN": '{"refresh_token":"hunter22"}',
        "OUTREACH_GOOGLE_DRIVE_CLIENT_ID": "id",
        "OUTREACH_GOOGLE_DRIVE_CLIENT_SECRET": "hunter22",
        "OUTREACH_GOOGLE_DRIVE_ROOT_FOLDER_ID": "0Broot",
        "OUTREACH_GOOGLE_DRIVE_TEAM_DRIVE": "0Ateam",
        "OUTREACH_BACKUP_LOCAL_FOLDER": str(tmp_path / "backups"),
        "OUTREACH_BACKUP_LOCAL_OPTIONS": "transfers=2",
        "OUTREACH_BACKUP_REMOTES": "dropbox:backups,nas:a/b",
        "OUTREACH_BACKUP_REMOTES_OPTIONS": "bandwidth=1.5M:off",
        "OUTREACH_BACKUP_PASSPHRASE": "correct horse battery",
        "OUTREACH_BACKUP_SALT": "staple staple",
        "OUTREACH_RCLONE": "/usr/bin/rclone",
        "OUTREACH_RCLONE_CONFIG": "/etc/rclone.conf",
    }
    for name in ("AWS_S3", "BACKBLAZE_B2", "SCALEWAY"):
        values |= {
            f"OUTREACH_BACKUP_{name}_BUCKET": f"{name.lower().replace('_', '-')}/some/prefix",
            f"OUTREACH_BACKUP_{name}_ENDPOINT": "https://s3.example.test",
            f"OUTREACH_BACKUP_{name}_REGION": "eu-central-1",
            f"OUTREACH_BACKUP_{name}_KEY_ID": "AKIA",
            f"OUTREACH_BACKUP_{name}_SECRET": "hunter22",
            f"OUTREACH_BACKUP_{name}_OPTIONS": "storage_class=GLACIER,bandwidth=10M,transfers=7",
        }
    assert values.keys() == set(variable_names())
    settings = load(**values)
    for name, value in values.items():
        found = getattr(settings, name.lower())
        if isinstance(found, dict):
            equals = ":" if name == "OUTREACH_BACKUP_REMOTES" else "="
            found = ",".join(f"{key}{equals}{said}" for key, said in found.items())
        assert str(found.get_secret_value() if isinstance(found, SecretStr) else found) == value


def test_an_empty_variable_is_one_that_is_not_set(load: Load) -> None:
    assert load(**dict.fromkeys(variable_names(), "")) == load()


@pytest.mark.parametrize("name", sorted(variable_names()))
@pytest.mark.parametrize("wrapped", ["'{}'", '"{}"', " {}", "{} ", "{}\r"])
def test_quotes_and_spaces_around_a_value_are_named(load: Load, name: str, wrapped: str) -> None:
    says = refusal(load, **{name: wrapped.format("2")})
    assert says.startswith(name)
    assert "around it" in says


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("STORAGE_MODE", "hybird", "did you mean hybrid"),
        ("STORAGE_MODE", "ftp", "local, s3, hybrid"),
        ("NEON_SSLMODE", "requird", "did you mean require"),
        ("OUTREACH_MAX_BAD_SHARE_BY_STATE", "WV:0.5", "such as WY=0.25,PR=0.5"),
        ("OUTREACH_MAX_BAD_SHARE_BY_STATE", "WV=25", "WV is 25: expected a share, 0 to 1"),
        ("OUTREACH_MAX_BAD_SHARE_BY_STATE", "WV=0.2,wv=0.3", "WV is named twice"),
        ("OUTREACH_MAX_BAD_SHARE", "15", "a number such as 0.15, 0 to 1"),
        ("OUTREACH_MAX_BAD_SHARE", "15%", "a number such as 0.15, 0 to 1"),
        ("OUTREACH_MAX_ROW_CHANGE", "inf", "a number such as 0.15, 0 or more"),
        ("OUTREACH_MAX_ROW_CHANGE_BY_STATE", "XX=0.5", "unknown state XX"),
        ("OUTREACH_COMPANY_NOT_VALID", "eror", "did you mean error"),
        ("NEON_PORT", "5432x", "a whole number, 1 to 65535"),
        ("NEON_PORT", "70000", "a whole number, 1 to 65535"),
        ("NEON_HOST", "https://ep-x.neon.tech", "NEON_CONNECTION_STRING"),
        ("NEON_HOST", "ep-x.neon.tech:5433", "NEON_PORT"),
        ("NEON_HOST", "ep-x.neon.tech/sales", "a host name alone"),
        ("B2_ENDPOINT", "s3.us-west-004.backblazeb2.com", "https://s3.us-west-004"),
        ("B2_ENDPOINT", "https://us-west-004.backblazeb2.com", "https://s3.<region>"),
        ("B2_ENDPOINT", "https://s3.us-west-004.backblazeb2.com/my-bucket", "B2_BUCKET"),
        ("B2_ENDPOINT", "https://my-bucket.s3.us-west-004.backblazeb2.com", "B2_BUCKET"),
        ("B2_ENDPOINT", "http://s3.example.test", "https://s3.example.test"),
        ("B2_ENDPOINT", "https://", "https://s3.<region>"),
        ("B2_ENDPOINT", "https://s3.example.test:port", "https://s3.<region>"),
        ("B2_ENDPOINT", "ftp://s3.example.test", "https://s3.<region>"),
        ("B2_REGION", "https://us-west-004", "a region such as"),
        ("B2_BUCKET", "s3://my-bucket", "name alone"),
        ("B2_BUCKET", "my-bucket/folder", "name alone"),
        ("B2_VALIDATION_FAILURES_PREFIX", "/bad", "the beginning of a key"),
        ("OUTREACH_BACKUP_AWS_S3_BUCKET", "s3://my-bucket", "name alone"),
        ("OUTREACH_BACKUP_AWS_S3_ENDPOINT", "http://s3.example.test", "write https://"),
        ("OUTREACH_BACKUP_SCALEWAY_ENDPOINT", "https://s3.example.test/b", "a host alone"),
        ("OUTREACH_BACKUP_SCALEWAY_OPTIONS", "transfers=0", "expected any of storage_class"),
        ("OUTREACH_BACKUP_SCALEWAY_OPTIONS", "transfer=4", "expected any of storage_class"),
        ("OUTREACH_BACKUP_LOCAL_OPTIONS", "bandwidth=fast", "bandwidth=10M"),
        ("OUTREACH_BACKUP_REMOTES", "dropbox", "name:path"),
        ("B2_VALIDATION_FAILURES_PREFIX", "a/../b", "the beginning of a key"),
        ("OUTREACH_HOME", "~nobody-of-that-name/x", "no user of that name"),
        ("OUTREACH_STATES_PER_RUN", "0", "1 or more"),
        ("OUTREACH_ALLOW_MASTER_WRITES", "yes", "true or false"),
        ("OUTREACH_DUCKDB_MEMORY_MB", "4 GB", "64 or more"),
        ("OUTREACH_DUCKDB_THREADS", "-1", "1 or more"),
        ("OUTREACH_DUCKDB_TEMP_GB", "1.5", "1 or more"),
        ("OUTREACH_UI_URL", "dagster.example.test", "expected a URL such as"),
        ("OUTREACH_SMTP_HOST", "smtps://smtp.example.test", "a host name alone"),
        ("OUTREACH_SMTP_HOST", "smtp.example.test:587", "OUTREACH_SMTP_PORT"),
        ("OUTREACH_SMTP_PORT", "0", "1 to 65535"),
        ("OUTREACH_SMTP_SECURITY", "startls", "did you mean starttls"),
        ("OUTREACH_SCHEDULE_TIMEZONE", "Mars/Olympus", "America/New_York"),
        ("OUTREACH_SCHEDULE_TIMEZONE", "../etc", "America/New_York"),
        ("OUTREACH_NIGHTLY_REFRESH_SCHEDULE", "daily", "minute hour day month weekday"),
        ("OUTREACH_NIGHTLY_REFRESH_SCHEDULE", "60 2 * * *", "its minute is '60'"),
        ("OUTREACH_STORE_USAGE_SCHEDULE", "0 2 * * fri-mon", "its weekday is 'fri-mon'"),
        ("OUTREACH_STORE_USAGE_SCHEDULE", "0 2 30 2 *", "no day 30 in month 2"),
    ],
)
def test_a_wrong_value_is_shown_with_what_was_expected(
    load: Load, name: str, value: str, expected: str
) -> None:
    says = refusal(load, **{name: value})
    assert says.startswith(f"{name} is {value!r}: ")
    assert expected in says.removeprefix(f"{name} is {value!r}: ")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("psql 'postgresql://u:s3cret!@h/d'", "begins with the command psql"),
        ("jdbc:postgresql://h/d?password=s3cret!", "not a postgresql:// URL"),
        ("mysql://u:s3cret!@h/d", "not a postgresql:// URL"),
        ("s3cret!", "neither a URL nor key=value"),
        ("host=h password=s3cret! x dbname=d", "neither a URL nor key=value"),
        ("dbname=d password=s3cret!", "names no host"),
        ("postgresql:///d?password=s3cret!", "names no host"),
        ("postgresql://u:a@s3cret!@h/d", "%40 for @"),
        ("postgresql://u:a/s3cret!@h/d", "%2F for /"),
        ("postgresql://u:a%s3cret!@h/d", "%25 for %"),
        ("postgresql://u:s3cret!@h:port/d", "the port is no number"),
        ("postgresql://u:s3cret!@h/d?sslmode", "name=value pairs"),
        ("postgresql://u:s3cret! @h/d", "holds a space"),
    ],
)
def test_a_connection_string_that_is_none_is_named_and_not_shown(
    load: Load, value: str, expected: str
) -> None:
    says = refusal(load, NEON_CONNECTION_STRING=value)
    assert says.startswith("NEON_CONNECTION_STRING (not shown): ")
    assert expected in says
    assert "s3cret" not in says


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:p%40@h/d?sslmode=require&channel_binding=require",
        "postgres://u:p@h:5433/d",
        "postgresql://u:a?b@h/d",
        "postgresql://u@[::1]:5432/d",
        "postgresql://u:a:b@h1:1,h2:2/d?target_session_attrs=any",
        "host=h port=5432 dbname=d user=u password='it''s'".replace("''", r"\'"),
        "host = h dbname=d",
    ],
)
def test_both_forms_of_a_connection_string_are_taken(load: Load, value: str) -> None:
    assert not load(NEON_CONNECTION_STRING=value).uses_embedded_postgres


def test_capitals_in_a_choice_are_taken(load: Load) -> None:
    settings = load(**BUCKET, STORAGE_MODE="S3", NEON_SSLMODE="Verify-Full")
    assert (settings.storage_mode, settings.neon_sslmode) == (StorageMode.S3, "verify-full")


def test_a_slash_after_the_endpoint_is_taken(load: Load) -> None:
    assert load(**{**BUCKET, "B2_ENDPOINT": BUCKET["B2_ENDPOINT"] + "/"}).b2_bucket == "my-bucket"


@pytest.mark.parametrize("name", sorted(NEON))
def test_an_address_that_lacks_a_part_is_refused(load: Load, name: str) -> None:
    says = refusal(load, **{k: v for k, v in NEON.items() if k != name})
    assert says.startswith(f"{name} not set or empty: ")
    assert "hunter22" not in says


@pytest.mark.parametrize("name", sorted(BUCKET))
def test_a_bucket_that_lacks_a_part_is_refused(load: Load, name: str) -> None:
    assert refusal(load, **{**BUCKET, name: ""}).startswith(f"{name} not set or empty: ")


@pytest.mark.parametrize("name", sorted(MAIL))
def test_mail_that_lacks_a_part_is_refused(load: Load, name: str) -> None:
    says = refusal(load, **{k: v for k, v in MAIL.items() if k != name})
    assert says.startswith(f"{name} not set or empty: ")
    assert "hunter22" not in says


def test_a_mail_server_without_anybody_to_mail_is_refused(load: Load) -> None:
    assert refusal(load, OUTREACH_SMTP_PORT="25").startswith("OUTREACH_ALERT_EMAIL_TO, ")


def test_a_mail_password_is_not_sent_in_the_clear_to_another_machine(load: Load) -> None:
    says = refusal(load, **MAIL, OUTREACH_SMTP_SECURITY="none")
    assert says.startswith("OUTREACH_SMTP_SECURITY is none and OUTREACH_SMTP_PASSWORD")
    load(**{**MAIL, "OUTREACH_SMTP_HOST": "127.0.0.1"}, OUTREACH_SMTP_SECURITY="none")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("OUTREACH_ALERT_WEBHOOK_URL", "chat.example.test/s3cret", "expected https://"),
        ("OUTREACH_ALERT_WEBHOOK_URL", "http://chat.example.test/s3cret", "write https://"),
        ("OUTREACH_ALERT_WEBHOOK_URL", "https://[s3cret", "expected https://"),
        ("OUTREACH_ALERT_EMAIL_TO", "s3cret@example.test;b@example.test", "with commas"),
        ("OUTREACH_ALERT_EMAIL_FROM", "Ops <s3cret@example.test>", "one mail address alone"),
        ("OUTREACH_UI_URL", "https://u:s3cret@dagster.example.test", "holds an account"),
        ("OUTREACH_BACKUP_PASSPHRASE", "s3cret", "expected 12 or more"),
        ("OUTREACH_BACKUP_SALT", "two\nlines of s3cret", "letters, digits and signs"),
    ],
)
def test_what_may_hold_a_secret_is_named_and_not_shown(
    load: Load, name: str, value: str, expected: str
) -> None:
    says = refusal(load, **{name: value})
    assert says.startswith(f"{name} (not shown): ")
    assert expected in says
    assert "s3cret" not in says


@pytest.mark.parametrize("mode", ["s3", "hybrid"])
def test_a_mode_that_needs_a_bucket_asks_for_one(load: Load, mode: str) -> None:
    assert refusal(load, STORAGE_MODE=mode).startswith(f"STORAGE_MODE is {mode} and needs a bucket")


def test_events_are_of_a_bucket_and_their_secret_is_not_shown(load: Load) -> None:
    assert "name the bucket" in refusal(load, OUTREACH_B2_EVENT_SECRET="hunter22" * 4)
    says = refusal(load, **BUCKET, OUTREACH_B2_EVENT_SECRET="hunter22")
    assert "32 letters and digits" in says
    assert "hunter22" not in says


def test_inboxes_in_a_bucket_are_listed_only_where_somebody_asked_for_it(load: Load) -> None:
    assert (load().inbox_minutes, load(**BUCKET).inbox_minutes) == (1, None)
    assert load(**BUCKET, OUTREACH_INBOX_MINUTES="15").inbox_minutes == 15


def test_a_region_that_is_not_the_endpoints_is_refused(load: Load) -> None:
    says = refusal(load, **{**BUCKET, "B2_REGION": "eu-central-003"})
    assert "'eu-central-003'" in says
    assert "'us-west-004'" in says


@pytest.mark.parametrize("name", sorted(NEON))
def test_a_connection_string_and_an_address_that_differ_are_refused(load: Load, name: str) -> None:
    string = "postgresql://reader:hunter22@ep-x.neon.tech/sales?sslmode=require"
    assert load(**NEON, NEON_CONNECTION_STRING=string).neon_host == "ep-x.neon.tech"
    says = refusal(load, **{**NEON, name: "other"}, NEON_CONNECTION_STRING=string)
    assert says.startswith(f"NEON_CONNECTION_STRING says something else than {name}: ")
    assert "hunter22" not in says


def test_a_pooler_is_refused_for_dagsters_storage_alone(load: Load) -> None:
    pooler = "postgresql://u:hunter22@ep-x-pooler.c-2.eu-central-1.aws.neon.tech/d"
    says = refusal(load, OUTREACH_DAGSTER_POSTGRES_URL=pooler)
    assert "direct host" in says
    assert "hunter22" not in says
    load(NEON_CONNECTION_STRING=pooler)


@pytest.mark.parametrize("below", ["", "/below/it"])
def test_a_file_as_home_is_refused(load: Load, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    says = refusal(load, OUTREACH_HOME=f"{file}{below}")
    assert says.startswith(f"OUTREACH_HOME is '{file}{below}': expected a folder")


def test_all_that_is_wrong_is_said_at_once(load: Load) -> None:
    says = refusal(load, NEON_PORT="x", STORAGE_MODE="y", OUTREACH_DUCKDB_THREADS="z")
    assert re.findall(r"^\w+", says, re.MULTILINE) == [
        "NEON_PORT",
        "STORAGE_MODE",
        "OUTREACH_DUCKDB_THREADS",
    ]


@pytest.mark.parametrize("name", ["NEON_HOST", "B2_ENDPOINT", "B2_BUCKET"])
def test_an_account_in_a_plain_setting_is_not_shown(load: Load, name: str) -> None:
    assert "s3cret" not in refusal(load, **{name: "https://user:s3cret@s3.example.test"})


@pytest.mark.parametrize(
    ("given_name", "meant"),
    [
        ("B2_BUKET", "B2_BUCKET"),
        ("NEON_PASWORD", "NEON_PASSWORD"),
        ("OUTREACH_HOEM", "OUTREACH_HOME"),
        ("NOEN_PASSWORD", "NEON_PASSWORD"),
        ("STORAGE_MOD", "STORAGE_MODE"),
        ("b2_bucket", "B2_BUCKET"),
        ("B2_APPLICATION_KEY_ID", "B2_KEY_ID"),
        ("DATABASE_URL", "NEON_CONNECTION_STRING"),
        ("NEON_SOMETHING_ELSE", None),
    ],
)
def test_a_mistyped_name_is_pointed_out(
    load: Load, monkeypatch: pytest.MonkeyPatch, given_name: str, meant: str | None
) -> None:
    monkeypatch.setenv(given_name, "x")
    assert unknown_variables()[given_name] == meant


def test_names_of_others_are_left_alone(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "PATH", "STORAGE", "OUTREACH_MUST_TEST", "DAGSTER_HOME", *BUCKET):
        monkeypatch.setenv(name, "x")
    found = unknown_variables()
    assert not {"HOME", "PATH", "STORAGE", "OUTREACH_MUST_TEST", "DAGSTER_HOME"} & found.keys()
    assert not BUCKET.keys() & found.keys()


@given(
    secret=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
)
def test_a_refusal_of_a_secret_is_the_same_whatever_it_is(secret: str) -> None:
    """Nothing of it can be in there, however short it is or however it is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEON_CONNECTION_STRING", f"«{secret}»")
        patch.setenv("OUTREACH_DAGSTER_POSTGRES_URL", f"postgresql://u:«{secret}»%@h/d")
        with pytest.raises(WrongSettingsError) as refused:
            load_settings()
    assert "«" not in str(refused.value)
    assert "»" not in str(refused.value)


def test_a_dotenv_file_that_is_no_text_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.setattr("outreach_core.settings.PROJECT_FOLDER", tmp_path)
    (tmp_path / ".env").write_bytes(b"NEON_PASSWORD=\xff\xfe")
    with pytest.raises(SettingsError, match=r"\.env cannot be read: it is not UTF-8") as refused:
        load_settings()
    assert "NEON_PASSWORD" not in str(refused.value)


def test_the_environment_goes_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.setattr("outreach_core.settings.PROJECT_FOLDER", tmp_path)
    monkeypatch.setenv("NEON_PORT", "1111")
    monkeypatch.setenv("NEON_SSLMODE", "")  # so that it is put back afterwards
    monkeypatch.delenv("NEON_SSLMODE")
    (tmp_path / ".env").write_text("NEON_PORT=2222\nNEON_SSLMODE='verify-full' # quoted\n")
    settings = load_settings()
    assert (settings.neon_port, settings.neon_sslmode) == (1111, "verify-full")


def documented() -> list[str]:
    text = (PROJECT_FOLDER / ".env.example").read_text()
    return re.findall(r"^# ?([A-Z0-9_]+)=$", text, re.MULTILINE)


def test_the_example_names_every_setting_once() -> None:
    assert sorted(documented()) == sorted(variable_names())


def test_the_example_says_a_line_about_each_setting() -> None:
    lines = (PROJECT_FOLDER / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if re.fullmatch(r"# [A-Z0-9_]+=", line):
            assert re.match(r"# \w", lines[number - 1]), line
            assert not lines[number - 1].endswith("="), line


def test_the_example_is_a_file_that_sets_nothing() -> None:
    lines = (PROJECT_FOLDER / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_dagster_reads_no_variable_that_is_no_setting(load: Load) -> None:
    settings = load(
        **NEON,
        **BUCKET,
        NEON_CONNECTION_STRING="postgresql://reader:hunter22@ep-x.neon.tech/sales",
    )
    named = {
        value.env_var_name
        for resource in default_resources(settings).values()
        for value in getattr(resource, "__dict__", {}).values()
        if isinstance(value, dg.EnvVar)
    }
    assert {"NEON_PASSWORD", "NEON_CONNECTION_STRING", "B2_APPLICATION_KEY"} <= named
    assert named <= set(variable_names())
