"""The admin API as tests call it: the server's token, and the flows that it serves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

TOKEN: Final = "a-token-of-the-tests"
AUTH: Final = {"Authorization": f"Bearer {TOKEN}"}


def write_flows(folder: Path, *flows: Mapping[str, Any]) -> None:
    """Write flows to a folder, each to the file with its name."""
    for flow in flows:
        (folder / f"{flow['id']}.json").write_text(json.dumps(flow))
