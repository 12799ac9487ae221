"""`hookline new plugin`: what it writes for any legal name is right without a change."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.integration.cli.terminal import in_terminal

from hookline.cli.main import main

LONGEST = "abcdefghijklmnopqrstuvwxyz_abcdefghijklm"
NAMES = ["acme_crm", "a", "acmeacme", "x9", "class", "import", "json", "verify", "test", "new_orders", LONGEST]
TITLES = {"acme_crm": "Acme CRM", "x9": "Müller & Söhne – АВС, l'an (9)", LONGEST: "m" * 40}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a plugin of each name, laid out so that Python finds them as installed."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in NAMES:
        title = ["--title", TITLES[name]] if name in TITLES else []
        made = CliRunner().invoke(main, ["new", "plugin", name, "--folder", str(folder / f"hookline-{name}"), *title])
        assert made.exit_code == 0, made.output
        installed = folder / f"hookline-{name}" / f"hookline_{name}-0.1.0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hookline-{name}\nVersion: 0.1.0\n")
        (installed / "entry_points.txt").write_text(f"[hookline]\n{name} = hookline_{name}\n")
    return folder


def run(folder: Path, *command: str, path: str = "") -> str:
    environment = {"PYTHONPATH": path, "MYPYPATH": path, "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    arguments = [sys.executable, "-m", *command]
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_files_of_each_name_are_formatted_and_clean(plugins: Path) -> None:
    run(plugins, "ruff", "format", "--check", ".")
    run(plugins, "ruff", "check", ".")


@pytest.mark.long  # each commit checks the code of one name: tox run -e lint
def test_the_code_of_each_name_is_typed_strictly(plugins: Path) -> None:
    path = ":".join(str(plugins / f"hookline-{name}") for name in NAMES)
    checked = [str(plugins / f"hookline-{name}" / f"hookline_{name}") for name in NAMES]
    run(plugins, "mypy", "--strict", *checked, path=path)


@pytest.mark.parametrize(
    "name", ["class", *(pytest.param(name, marks=pytest.mark.long) for name in NAMES if name != "class")]
)
def test_its_own_tests_pass(plugins: Path, name: str) -> None:
    folder = plugins / f"hookline-{name}"
    shown = run(folder, "pytest", "-q", "-p", "no:cacheprovider", path=str(folder))
    assert "passed" in shown
    assert "failed" not in shown


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leaves_a_trace_of_another(plugins: Path, name: str) -> None:
    folder = plugins / f"hookline-{name}"
    # Others are caches of the tools that ran in it.
    for file in (one for one in folder.rglob("*.*") if one.suffix in (".json", ".md", ".py", ".toml", ".yml")):
        text = file.read_text() if "cache" not in str(file.relative_to(folder)) else ""
        assert "<<" not in text
        assert "acme" in name or "acme" not in text.lower()
    source = (folder / f"hookline_{name}" / "__init__.py").read_text()
    assert f'connector = Connector(\n    "{name}",\n' in source
    assert "class Key(ServiceCredential):" in source


def test_a_plugin_is_made_in_a_terminal(tmp_path: Path) -> None:
    made = in_terminal(tmp_path, "new", "plugin", "acme_crm", "--title", "Acme CRM")
    assert (made.code, made.lines[-1]) == (0, "install it: pip install -e ./hookline-acme_crm")
    assert 'title="Acme CRM"' in (tmp_path / "hookline-acme_crm" / "hookline_acme_crm" / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["Acme"], "lower-case letters"),
        (["acme-crm"], "lower-case letters"),
        (["9x"], "lower-case letters"),
        (["_x"], "lower-case letters"),
        ([""], "lower-case letters"),
        ([LONGEST + "n"], "at most 40"),
        (["slack"], "take another"),
        (["generic"], "take another"),
        (["sqlstore"], "take another"),
        (["x", "--title", 'A "quoted" one'], "can't be a title"),
        (["x", "--title", "two\nlines"], "can't be a title"),
        (["x", "--title", "m" * 41], "can't be a title"),
        (["x", "--title", ""], "can't be a title"),
    ],
)
def test_an_illegal_name_or_title_is_told_with_the_remedy(tmp_path: Path, arguments: list[str], said: str) -> None:
    shown = in_terminal(tmp_path, "new", "plugin", *arguments)
    assert shown.code == 2
    assert said in " ".join(shown.text.split())
    assert list(tmp_path.iterdir()) == []
