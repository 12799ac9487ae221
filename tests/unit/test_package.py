"""The package says what it needs: whatever is imported is declared, and plugins are registered and shipped."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
#: Benchmarks are scripts, and import one another by name.
OWN = {
    "hookline",
    "tests",
    "docs",
    *(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()),
    *(path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py")),
}

#: Parts of what is declared, which come and go with it; and what only type checkers read.
PARTS = {"pydantic_core": "pydantic", "werkzeug": "quart", "yarl": "aiohttp"}
FOR_TYPES = {"_typeshed"}

#: Of the standard library of newer Pythons than the oldest.
NEWER = {"compression"}


def imported(*folders: str) -> dict[str, str]:
    """Each package that is imported from elsewhere, with a file that does so."""
    found: dict[str, str] = {}
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    modules = [alias.name for alias in node.names]
                else:
                    modules = (
                        [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
                    )
                for module in modules:
                    found.setdefault(module.partition(".")[0], str(path.relative_to(ROOT)))
    return {name: file for name, file in found.items() if name not in sys.stdlib_module_names | OWN | FOR_TYPES | NEWER}


def declared(*extras: str) -> set[str]:
    lines = [*PROJECT["project"]["dependencies"]]
    for extra in extras:
        lines += PROJECT["project"]["optional-dependencies"][extra]
    return {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in lines}


@pytest.mark.parametrize(
    ("folders", "extras"),
    [
        (
            ("engine", "plugins"),
            ("postgres", "s3", "fast", "jmespath", "jsonata", "amqp", "email", "mqtt", "nats", "mysql", "test"),
        ),
        (
            ("tests",),
            ("postgres", "s3", "fast", "jmespath", "jsonata", "amqp", "email", "mqtt", "nats", "mysql", "test"),
        ),
    ],
)
def test_what_is_imported_is_declared(folders: tuple[str, ...], extras: tuple[str, ...]) -> None:
    distributions = packages_distributions()
    known = declared(*extras)
    missing = {
        name: file
        for name, file in imported(*folders).items()
        if not {one.lower().replace("_", "-") for one in distributions.get(PARTS.get(name, name), [name])} & known
    }
    assert missing == {}


def test_every_plugin_is_shipped_and_registered_and_nothing_else_is() -> None:
    folders = {path.name for path in (ROOT / "plugins").iterdir() if (path / "__init__.py").exists()}
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {Path(package).name for package in wheel} == folders | {"hookline"}
    assert set(PROJECT["project"]["entry-points"]["hookline"].values()) == folders
    assert set(PROJECT["tool"]["importlinter"]["root_packages"]) == folders | {"hookline"}


#: The first versions without a vulnerability that a sender could use. Older ones must not be installable.
SAFE = {
    "aiohttp": "3.13.3",
    "brotli": "1.2",
    "cryptography": "44.0.1",
    "h11": "0.16",
    "h2": "4.3",
    "jinja2": "3.1.6",
    "pyjwt": "2.10.1",
    "python-multipart": "0.0.18",
    "xmltodict": "0.15.1",
}


@pytest.mark.parametrize("name", SAFE)
def test_no_version_with_a_known_vulnerability_satisfies_the_requirements(name: str) -> None:
    (needed,) = [one for line in PROJECT["project"]["dependencies"] if (one := Requirement(line)).name == name]
    (lowest,) = [one.version for one in needed.specifier if one.operator == ">="]
    assert Version(lowest) >= Version(SAFE[name])
