"""Profiles and the choice of a remote server: what is stored, for whom it is readable, and where a token is sent."""

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from hookline.cli.client.http import proxy_for
from hookline.cli.client.profiles import Profile, profiles_file, read_profiles, remove_profile, store_profile
from hookline.cli.client.remote_choice import (
    Remote,
    check_secure,
    find_remote,
    is_loopback,
    remote_of,
    server_url,
    settings_for,
)
from hookline.cli.main import main
from hookline.kernel.errors import ConfigError
from hookline.server_settings import Settings

SECRET = "hookline_secret-of-a-token"
URL = "https://hookline.example.com"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CONFIG_HOME", "HOOKLINE_REMOTE", "HOOKLINE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_profile_is_in_a_file_that_only_its_owner_can_read(home: Path) -> None:
    file = store_profile("prod", Profile(URL, SECRET))
    assert file == home / ".config" / "hookline" / "profiles.json"
    assert (mode(file), mode(file.parent)) == (0o600, 0o700)
    assert read_profiles() == {"prod": Profile(URL, SECRET)}
    store_profile("test", Profile("https://test.example.com", "other"))
    store_profile("prod", Profile(URL, "newer"))
    assert {name: one.token for name, one in read_profiles().items()} == {"prod": "newer", "test": "other"}
    assert remove_profile("prod")
    assert not remove_profile("prod")
    assert list(read_profiles()) == ["test"]
    assert [one.name for one in file.parent.iterdir()] == ["profiles.json"]


def test_the_folder_is_the_users_configuration_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "own"))
    assert profiles_file() == home / "own" / "hookline" / "profiles.json"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert profiles_file() == home / ".config" / "hookline" / "profiles.json"


def test_a_file_that_others_can_read_is_not_used() -> None:
    file = store_profile("prod", Profile(URL, SECRET))
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_profiles()


@pytest.mark.parametrize("text", ["", "[]", '{"profiles": {"a": {"url": 1}}}', '{"x":' + "[" * 100_000], ids=range(4))
def test_a_damaged_file_is_named_and_stays(text: str) -> None:
    file = store_profile("prod", Profile(URL, SECRET))
    file.write_text(text)
    with pytest.raises(ConfigError, match="is damaged"):
        store_profile("other", Profile(URL, SECRET))
    assert file.read_text() == text


def test_a_folder_that_cannot_be_made_is_told(home: Path) -> None:
    (home / ".config").write_text("a file")
    with pytest.raises(ConfigError, match=r"can't be written|can't be read"):
        store_profile("prod", Profile(URL, SECRET))


def test_no_representation_shows_a_token() -> None:
    settings = settings_for(Settings(), Remote(URL, SECRET))
    assert remote_of(settings) == Remote(URL, SECRET)
    assert SECRET not in repr([Profile(URL, SECRET), Remote(URL, SECRET), settings])


def test_a_remote_server_is_a_profile_or_a_url_and_the_option_wins() -> None:
    store_profile("prod", Profile(URL, SECRET))
    assert find_remote(None, {}) is None
    assert find_remote("", {"HOOKLINE_REMOTE": "prod"}) is None
    assert find_remote("prod", {"HOOKLINE_REMOTE": "nothing"}) == Remote(URL, SECRET)
    assert find_remote(None, {"HOOKLINE_REMOTE": "prod"}) == Remote(URL, SECRET)
    assert find_remote(f"{URL.upper().replace('HTTPS', 'https')}/", {}) == Remote(URL, SECRET)
    assert find_remote("prod", {"HOOKLINE_TOKEN": " given\n"}) == Remote(URL, "given")
    assert find_remote("https://other.example.com", {"HOOKLINE_TOKEN": "given"}) is not None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("prud", "did you mean 'prod'"),
        ("https://other.example.com", "hookline login https://other.example.com"),
        ("ftp://x", "is not the URL of a server"),
        ("https://user@x", "is not the URL of a server"),
        ("https://x?y=1", "is not the URL of a server"),
        ("https://x:99999", "is not the URL of a server"),
        ("https://a b", "is not the URL of a server"),
        ("https://a..b", "is not the URL of a server"),
        ("http://hookline.example.com", "over plain http"),
    ],
)
def test_a_server_that_cannot_be_called_is_told_with_the_remedy(name: str, said: str) -> None:
    store_profile("prod", Profile(URL, SECRET))
    with pytest.raises(ConfigError, match=said):
        find_remote(name, {})


@pytest.mark.parametrize("token", ["two words", "a\r\nX-Injected: 1", "ä"])
def test_a_variable_that_is_no_token_is_told_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError, match="HOOKLINE_TOKEN has no token") as told:
        find_remote(URL, {"HOOKLINE_TOKEN": token})
    assert token not in str(told.value)


def test_several_tokens_for_one_url_take_the_name_of_a_profile() -> None:
    store_profile("reader", Profile(URL, "one"))
    store_profile("author", Profile(URL, "two"))
    with pytest.raises(ConfigError, match="name of one"):
        find_remote(URL, {})
    assert find_remote("author", {}) == Remote(URL, "two")


def test_a_token_is_sent_over_plain_http_only_to_this_machine_or_where_that_was_allowed() -> None:
    for url in ("http://127.0.0.1:8080", "http://localhost", "http://[::1]:80", URL):
        check_secure(url, insecure=False)
    with pytest.raises(ConfigError, match="--insecure"):
        find_remote("http://10.0.0.1", {"HOOKLINE_TOKEN": "x"})
    store_profile("edited", Profile("http://10.0.0.2", SECRET))
    with pytest.raises(ConfigError, match="--insecure"):
        find_remote("edited", {})
    store_profile("inside", Profile("http://10.0.0.1", SECRET, insecure=True))
    assert find_remote("http://10.0.0.1", {}) == Remote("http://10.0.0.1", SECRET)
    assert not any(map(is_loopback, ("127.0.0.1.example.com", "localhost.example.com", "10.0.0.1", "")))


def test_a_proxy_is_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert proxy_for(URL) is None
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "localhost,.internal")
    assert proxy_for(URL) == "http://proxy.example.com:3128"
    assert proxy_for("https://hookline.internal") is None
    assert proxy_for("http://hookline.example.com") is None


def test_a_url_is_stored_without_a_slash_at_its_end() -> None:
    assert server_url("https://Hooks.Example.com:8443/hookline/", "URL") == "https://hooks.example.com:8443/hookline"


@pytest.mark.parametrize(
    ("arguments", "text", "said"),
    [
        (["http://10.0.0.1"], "", "over plain http"),
        ([URL], "", "--token-file FILE"),
        ([URL, "--token-file", "-"], "", "has no token"),
        ([URL, "--token-file", "-"], "two words", "has no token"),
        ([URL, "--token-file", "missing"], "", "can't be read"),
        ([URL, "--profile", "a/b", "--token-file", "-"], SECRET, "letters, digits"),
        (["hooks.example.com", "--token-file", "-"], SECRET, "is not the URL"),
    ],
)
def test_a_login_that_cannot_be_is_wrong_usage_and_stores_nothing(
    arguments: list[str], text: str, said: str, home: Path
) -> None:
    done = CliRunner().invoke(main, ["login", *arguments], input=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert SECRET not in done.stderr
    assert not (home / ".config").exists()


def test_logout_removes_a_profile_and_names_the_one_that_was_meant() -> None:
    store_profile("prod", Profile(URL, SECRET))
    wrong = CliRunner().invoke(main, ["logout", "prud"])
    assert (wrong.exit_code, "did you mean 'prod'" in wrong.stderr) == (1, True)
    assert json.loads(CliRunner().invoke(main, ["logout", "prod", "--json"]).stdout) == {"profile": "prod"}
    assert read_profiles() == {}


@pytest.mark.parametrize(("url", "token"), [(URL, "two\nlines"), (URL, "caf\u00e9"), ("javascript:1", SECRET)])
def test_a_profile_that_was_edited_to_nonsense_is_told_with_its_place(url: str, token: str) -> None:
    file = store_profile("prod", Profile(url, token))
    with pytest.raises(ConfigError, match=rf"^{file}: profile prod"):
        find_remote("prod", {})
    if url == URL:
        with pytest.raises(ConfigError, match=f"^{file}: the profile of {URL} has no token"):
            find_remote(URL, {})


@pytest.mark.parametrize("url", ["http://127.0.0.1:8081", "http://localhost:8081", "http://[::1]:8081"])
def test_what_is_for_this_machine_is_not_shown_to_a_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example.com:3128")
    assert proxy_for(url) is None
