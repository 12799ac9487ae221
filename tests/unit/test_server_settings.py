"""Settings: their sources, their order, and errors that say where a value came from."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings, load


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def problems(error: ConfigError) -> list[str]:
    return [str(problem) for problem in error.problems]


@pytest.mark.rule(36)
def test_without_any_source_there_are_the_documented_defaults() -> None:
    settings = load()
    assert (settings.db, settings.flows) == ("sqlite:///.hookline/hookline.db", "flows")
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.max_body, settings.max_file) == (10_000_000, 1_000_000_000)


def test_a_file_gives_way_to_the_environment_and_that_to_options(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory / "hookline.toml").write_text('host = "file"\nport = 1\ngrace = 1\negress_allow = ["10.0.0.0/8"]\n')
    monkeypatch.setenv("HOOKLINE_PORT", "2")
    monkeypatch.setenv("HOOKLINE_GRACE", "2")
    settings = load({"grace": "3", "host": None})
    assert (settings.host, settings.port, settings.grace) == ("file", 2, 3.0)
    assert settings.egress_allow == ("10.0.0.0/8",)


def test_lists_in_the_environment_are_joined_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_EGRESS_ALLOW", "10.0.0.0/8, internal.example")
    assert load().egress_allow == ("10.0.0.0/8", "internal.example")


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_PUBLIC_URL", "")
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", "")
    settings = load()
    assert settings.public_url is None
    assert settings.admin_token is None


def test_every_problem_is_reported_with_where_it_came_from(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (directory / "hookline.toml").write_text('databse = "x"\nserver = "gunicorn"\n')
    monkeypatch.setenv("HOOKLINE_PORT", "eighty")
    with pytest.raises(ConfigError) as caught:
        load({"grace": "-1"})
    found = problems(caught.value)
    assert len(found) == 4
    assert found[0].startswith("hookline.toml: there is no server setting databse")
    assert any(line.startswith("hookline.toml: server: ") for line in found)
    assert any(line.startswith("the environment: HOOKLINE_PORT: ") for line in found)
    assert any(line.startswith("the command line: --grace: ") for line in found)


def test_a_misspelt_key_names_the_one_that_was_meant(directory: Path) -> None:
    (directory / "hookline.toml").write_text("max_bodi = 5\n")
    with pytest.raises(ConfigError) as caught:
        load()
    assert problems(caught.value) == ["hookline.toml: there is no server setting max_bodi (did you mean 'max_body'?)"]


def test_a_misspelt_variable_is_an_error_and_others_under_the_prefix_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_VARS_PAYPAL__LEDGER", "sqlite:///x.db")
    monkeypatch.setenv("HOOKLINE_UNRELATED_THING", "1")
    load()
    monkeypatch.setenv("HOOKLINE_PUBLC_URL", "https://x.example")
    with pytest.raises(ConfigError) as caught:
        load()
    assert problems(caught.value) == [
        "the environment: there is no server setting HOOKLINE_PUBLC_URL (did you mean 'HOOKLINE_PUBLIC_URL'?)"
    ]


@pytest.mark.rule(2)
def test_more_workers_than_one_on_sqlite_are_rejected_with_the_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"workers": "2"})
    assert "postgresql://" in problems(caught.value)[0]
    assert load({"workers": "2", "db": "postgresql://localhost/x"}).workers == 2


def test_the_url_of_the_session_that_listens_needs_a_postgresql_database() -> None:
    pooled, direct = "postgresql://pooler:6432/x", "postgresql://localhost/x"
    assert load({"db": pooled}).db_listen is None
    assert load({"db": pooled, "db_listen": direct}).db_listen == direct
    with pytest.raises(ConfigError) as caught:
        load({"db_listen": direct})
    assert "leave db_listen out" in problems(caught.value)[0]
    with pytest.raises(ConfigError) as caught:
        load({"db": pooled, "db_listen": "localhost"})
    assert "postgresql://db.internal/hookline" in problems(caught.value)[0]


def test_a_node_is_named_after_its_host_and_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    assert (load().node(), load().node(2)) == ("box", "box-2")
    named = load({"node_name": "eu-1"})
    assert (named.node(), named.node(2)) == ("eu-1", "eu-1-2")
    with pytest.raises(ConfigError, match="invalid"):
        load({"node_name": 'a "name"'})


def test_a_file_that_is_named_must_exist_and_be_toml(directory: Path) -> None:
    with pytest.raises(ConfigError, match="there is no file"):
        load(file=directory / "other.toml")
    (directory / "other.toml").write_text("port = = 1")
    with pytest.raises(ConfigError, match="is not TOML"):
        load(file=directory / "other.toml")


def test_settings_are_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_secrets_show_neither_in_text_nor_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", "a-long-enough-token")
    assert "a-long-enough-token" not in repr(load())
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", "short-secret")
    with pytest.raises(ConfigError) as caught:
        load()
    assert "short-secret" not in str(problems(caught.value))


@pytest.mark.parametrize(
    ("db", "file", "data_dir"),
    [
        ("sqlite:///.hookline/a.db", Path(".hookline/a.db"), Path(".hookline")),
        ("sqlite:////var/lib/a%20b.db", Path("/var/lib/a b.db"), Path("/var/lib")),
        ("sqlite://", None, Path(".hookline")),
        ("postgresql://u:p@host/name", None, Path(".hookline")),
    ],
)
def test_generated_files_are_beside_a_sqlite_database(db: str, file: Path | None, data_dir: Path) -> None:
    settings = load({"db": db})
    assert (settings.sqlite_file, settings.data_dir) == (file, data_dir)


def test_uploads_are_in_a_directory_beside_the_database_unless_a_url_says_otherwise(directory: Path) -> None:
    assert load().blobs_url == f"file://{directory}/.hookline/blobs"
    assert load({"blobs": "file:///srv/blobs"}).blobs_url == "file:///srv/blobs"


def test_a_path_where_a_url_is_due_is_told_with_an_example_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKLINE_BLOBS", "/srv/files")
    monkeypatch.setenv("HOOKLINE_DB", "/srv/db")
    with pytest.raises(ConfigError) as rejected:
        load()
    assert [problem.message for problem in rejected.value.problems] == [
        "HOOKLINE_DB: db is a URL, such as sqlite:///hookline.db",
        "HOOKLINE_BLOBS: blobs is a URL, such as file:///srv/blobs or s3://bucket",
    ]


def test_sizes_may_have_units() -> None:
    assert load({"max_body": "5MB"}).max_body == 5_000_000


def test_each_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("PORT", "eighty", "it must be a whole number"),
        ("PORT", "70000", "it must be at most 65535"),
        ("ROLE", "boss", "it must be one of"),
        ("ADMIN_URL", "https://hookline.internal:70000", "the port is a number up to 65535"),
    ],
)
def test_a_wrong_setting_says_what_it_must_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, text: str
) -> None:
    monkeypatch.setenv(f"HOOKLINE_{name}", value)
    with pytest.raises(ConfigError) as rejected:
        load()
    (problem,) = rejected.value.problems
    assert problem.message.startswith(f"HOOKLINE_{name}: {text}")


@pytest.mark.parametrize("name", ["db", "blobs"])
def test_a_url_that_nobody_can_read_is_named(name: str) -> None:
    with pytest.raises(ConfigError) as rejected:
        load({name: "postgresql://user:p[ss@host/db"})
    (problem,) = problems(rejected.value)
    assert f"{name} can't be read as a URL" in problem
    assert "p[ss" not in problem


@pytest.mark.parametrize("url", ["postgresql://user:pa/ss@host/db", "postgresql://a:5432,b:5433/db"])
def test_a_url_that_only_its_plugin_can_judge_is_left_to_it(url: str) -> None:
    assert load({"db": url}).db == url


@pytest.mark.console_rule("K7")
def test_the_console_cannot_be_below_a_path() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"admin_url": "https://tools.example/hookline"})
    (problem,) = problems(caught.value)
    assert "can't be served below the path /hookline: give it a host name of its own" in problem
    assert load({"admin_url": "https://tools.example/"}).admin_url == "https://tools.example"
