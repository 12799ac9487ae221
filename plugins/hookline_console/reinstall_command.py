"""The command that installs Hookline again from where it came."""

import json
import shlex
from collections.abc import Mapping
from importlib import metadata
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

_NAME: Final = "hookline"
_RECORD: Final = "direct_url.json"
"""The file in which installers record a source that isn't an index."""


def reinstall_command() -> str:
    """The command that installs Hookline again from where it came: an index, a checkout, a file or a repository."""
    try:
        record = metadata.distribution(_NAME).read_text(_RECORD)
    except metadata.PackageNotFoundError:
        record = None
    source = [_NAME] if record is None else _source(json.loads(record))
    return shlex.join(["pip", "install", "--force-reinstall", "--no-deps", *source])


def _source(record: Mapping[str, Any]) -> list[str]:
    url = record["url"]
    match record:
        case {"dir_info": {"editable": True}}:
            return ["-e", _path(url)]
        case {"dir_info": _}:
            return [_path(url)]
        case {"vcs_info": {"vcs": vcs, "commit_id": commit}}:
            return [f"{vcs}+{url}@{commit}"]
        case _:
            return [url]


def _path(url: str) -> str:
    return url2pathname(urlsplit(url).path)
