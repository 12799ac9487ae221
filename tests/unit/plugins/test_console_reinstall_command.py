"""The remedy for a missing console is the command that installs Hookline again from where it came."""

import json
from importlib import metadata
from types import SimpleNamespace
from typing import Any

import pytest

from hookline_console.reinstall_command import reinstall_command


@pytest.mark.console_rule("K2")
@pytest.mark.parametrize(
    ("record", "source"),
    [
        (None, "hookline"),
        ({"url": "file:///srv/my%20checkout", "dir_info": {"editable": True}}, "-e '/srv/my checkout'"),
        ({"url": "file:///srv/checkout", "dir_info": {}}, "/srv/checkout"),
        ({"url": "file:///srv/hookline-1.0.tar.gz", "archive_info": {}}, "file:///srv/hookline-1.0.tar.gz"),
        (
            {"url": "https://git.example/hookline.git", "vcs_info": {"vcs": "git", "commit_id": "1a2b3c"}},
            "git+https://git.example/hookline.git@1a2b3c",
        ),
    ],
)
def test_it_is_installed_again_from_where_it_came(monkeypatch: pytest.MonkeyPatch, record: Any, source: str) -> None:
    text = None if record is None else json.dumps(record)
    monkeypatch.setattr(metadata, "distribution", lambda _name: SimpleNamespace(read_text=lambda _file: text))
    assert reinstall_command() == f"pip install --force-reinstall --no-deps {source}"


def test_without_metadata_it_is_installed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    assert reinstall_command().endswith(" hookline")
