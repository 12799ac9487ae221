"""`hookline plugins doctor` names what is wrong with a plugin, and what to do; `--no-import` runs nothing of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.integration.installed_plugins import Site

from hookline.cli.main import main
from hookline.discovery.plugin_doctor import Finding, examine

GOOD = '''
from pydantic import BaseModel, SecretStr
from hookline.api import Connector, Context, hookimpl

class Key(BaseModel):
    """A token."""

    token: SecretStr

acme = Connector("acme", title="Acme", credential=Key)

@acme.action
async def create_order(ctx: Context[Key], sku: str) -> dict[str, str]:
    """Create an order."""
    return {"sku": sku}

@hookimpl
def register_connectors():
    return [acme]
'''


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path / "site", monkeypatch)
    yield made
    made.forget()


def findings(name: str) -> dict[str, Finding]:
    (examined,) = examine(name)
    return {finding.code: finding for finding in examined.findings}


def test_a_plugin_that_is_well_is_said_to_be(site: Site) -> None:
    site.install("hookline-acme", GOOD)
    written = CliRunner().invoke(main, ["plugins", "describe", "acme", "--write"])
    assert written.exit_code == 0, written.output
    assert findings("acme") == {}
    assert findings("hookline-acme") == {}
    done = CliRunner().invoke(main, ["plugins", "doctor", "acme"])
    assert (done.exit_code, done.output) == (0, "acme (hookline-acme 1.0): ok\n")
    assert CliRunner().invoke(main, ["plugins", "describe", "acme", "--check"]).exit_code == 0


def test_an_error_at_import_comes_with_the_plugins_own_line(site: Site) -> None:
    site.install("hookline-acme", "import json\n\nSETTINGS = json.loads('{')\n")
    finding = findings("acme")["import"]
    assert finding.severity == "error"
    assert "JSONDecodeError" in finding.message
    assert "its line there: SETTINGS = json.loads('{')" in finding.message


@pytest.mark.parametrize(
    ("source", "line", "text"),
    [
        ("class Acme CrmKey:\n    pass\n", 1, "class Acme CrmKey:"),
        ("import json\n\n\ndef broken(:\n    pass\n", 4, "def broken(:"),
        ("if True:\nx = 1\n", 2, "x = 1"),
        ("x = 1\n\ny = nowhere\n", 3, "y = nowhere"),
    ],
)
def test_a_fault_in_the_source_is_named_with_its_file_and_line(site: Site, source: str, line: int, text: str) -> None:
    package = site.install("hookline-acme", source)
    finding = findings("acme")["import"]
    assert f"({package / '__init__.py'}, line {line})" in finding.message
    assert f"its line there: {text}" in finding.message


@pytest.mark.parametrize(
    ("metadata", "remedy"),
    [
        ((), "pip install nosuchlib, if that is its distribution: it is not a dependency of hookline-acme"),
        (("Requires-Dist: nosuchlib>=2,<3",), "pip install 'nosuchlib<3,>=2'"),
        (
            ("Provides-Extra: fast", 'Requires-Dist: nosuchlib>=2; extra == "fast"'),
            "pip install 'hookline-acme[fast]'",
        ),
    ],
)
def test_a_missing_library_comes_with_the_command_that_brings_it(
    site: Site, metadata: tuple[str, ...], remedy: str
) -> None:
    site.install("hookline-acme", "import nosuchlib\n", metadata=metadata)
    finding = findings("acme")["dependency"]
    assert "No module named 'nosuchlib'" in finding.message
    assert finding.remedy == remedy


def test_an_entry_point_that_names_no_module_says_which_it_could_mean(site: Site) -> None:
    site.install("hookline-acme", GOOD, module="hookline_acne")
    finding = findings("acme")["entry_point"]
    assert "there is no module 'hookline_acne'" in finding.message
    assert finding.remedy == "did you mean 'hookline_acme'?"


def test_versions_that_it_is_not_made_for_are_named(site: Site) -> None:
    site.install("hookline-acme", GOOD, metadata=("Requires-Python: <3.9", "Requires-Dist: hookline>=99"))
    found = findings("acme")
    assert "needs Python <3.9" in found["python"].message
    assert "needs hookline >=99, and this is" in found["hookline"].message


def test_a_clash_names_both(site: Site) -> None:
    site.install("hookline-acme", GOOD)
    site.install("hookline-other", GOOD, name="other")
    message = findings("other")["clash"].message
    assert "'other' (hookline-other 1.0)" in message
    assert "'acme' (hookline-acme 1.0)" in message


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("@hookimpl\ndef register_conectors():\n    return []\n", "did you mean 'register_connectors'?"),
        ("@hookimpl\ndef register_triggers(config):\n    return []\n", "config"),
        ("def register_trigers():\n    return []\n", "did you mean 'register_triggers', with @hookimpl above it?"),
        ("def register_triggers():\n    return []\n", "put @hookimpl above it"),
    ],
)
def test_a_hook_that_is_misspelt_or_takes_what_it_does_not_get_is_named(site: Site, source: str, text: str) -> None:
    site.install("hookline-acme", GOOD + source)
    assert any(
        text in f"{finding.message} {finding.remedy}" and finding.severity == "error"
        for finding in findings("acme").values()
    )


def test_metadata_that_is_stale_says_what_differs(site: Site) -> None:
    package = site.install("hookline-acme", GOOD)
    assert CliRunner().invoke(main, ["plugins", "describe", "acme", "--write"]).exit_code == 0
    said = json.loads((package / "hookline-plugin.json").read_text())
    said["connectors"][0]["actions"][0]["name"] = "acme.cancel_order"
    (package / "hookline-plugin.json").write_text(json.dumps(said))
    message = findings("acme")["metadata"].message
    assert "it lacks the action acme.create_order" in message
    assert "it names the action acme.cancel_order, which doesn't exist" in message
    assert CliRunner().invoke(main, ["plugins", "describe", "acme", "--check"]).exit_code == 1
    (package / "hookline-plugin.json").write_text("{")
    assert "can't be read" in findings("acme")["metadata"].message


def test_what_a_connector_lacks_for_bronze_and_a_secret_in_the_open_are_named(site: Site) -> None:
    poor = GOOD.replace("token: SecretStr", "token: str").replace('    """Create an order."""\n', "")
    site.install("hookline-acme", poor)
    found = findings("acme")
    assert "the field token of the credential type 'acme' is not declared secret" in found["secret"].message
    assert "below bronze: acme.create_order has no docstring" in found["quality"].message


def test_a_distribution_that_is_there_twice_or_left_over_is_named(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("hookline-acme", GOOD, editable=tmp_path / "gone")
    second = Site(tmp_path / "second", monkeypatch)
    second.install("hookline-acme", None, version="2.0")
    for examined in examine("hookline-acme"):
        found = {finding.code: finding.message for finding in examined.findings}
        assert "is installed 2 times" in found["twice"]
    second_off = [path for path in second.folder.iterdir() if path.suffix == ".dist-info"]
    for path in second_off[0].iterdir():
        path.unlink()
    second_off[0].rmdir()
    assert "was installed for editing from" in findings("acme")["leftover"].message


@pytest.mark.parametrize("group", ["hookline.plugins", "hooklines", "Hookline", "hookline-plugins", "hooklin"])
def test_an_entry_point_in_a_group_that_is_misspelt_is_found(site: Site, group: str) -> None:
    site.install("hookline-acme", GOOD, group=group)
    assert f"is in the group {group!r}" in findings("acme")["group"].message


def test_what_is_wrong_is_json_and_an_exit_code(site: Site) -> None:
    site.install("hookline-acme", "raise RuntimeError('no licence')\n")
    done = CliRunner().invoke(main, ["plugins", "doctor", "acme", "--json"])
    assert done.exit_code == 1
    (found,) = json.loads(done.output)
    assert (found["name"], found["version"], found["findings"][0]["code"]) == ("acme", "1.0", "import")
    unknown = CliRunner().invoke(main, ["plugins", "doctor", "acmee"])
    assert unknown.exit_code == 1
    assert "did you mean 'acme'?" in unknown.output


def test_what_plugins_give_is_listed_without_importing_them(site: Site) -> None:
    package = site.install("hookline-acme", GOOD)
    assert CliRunner().invoke(main, ["plugins", "describe", "acme", "--write"]).exit_code == 0
    site.forget()
    ran = site.folder / "ran"
    (package / "__init__.py").write_text(f"open({str(ran)!r}, 'w').close()\nraise SystemExit\n")
    done = CliRunner().invoke(main, ["plugins", "--no-import", "--json"])
    assert done.exit_code == 0
    assert not ran.exists()
    acme = next(one for one in json.loads(done.output) if one["name"] == "acme")
    assert acme["gives"]["connectors"][0]["actions"] == [{"name": "acme.create_order", "title": "Create an order."}]
    assert acme["gives"]["credential_types"] == ["acme"]
    text = CliRunner().invoke(main, ["plugins", "--no-import"]).output
    assert "action acme.create_order" in text
    (package / "hookline-plugin.json").write_text('{"format": "one"}')
    broken = CliRunner().invoke(main, ["plugins", "--no-import"])
    assert broken.exit_code == 0
    assert "hookline-plugin.json can't be read" in broken.output
    assert "http.request" in broken.output


def test_options_before_a_command_are_not_lost_silently(site: Site) -> None:
    done = CliRunner().invoke(main, ["plugins", "--json", "doctor"])
    assert done.exit_code == 2
    assert "options follow the command" in done.output
