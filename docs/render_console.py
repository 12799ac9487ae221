"""The description of the admin API from which the console's client is generated.

`python docs/render_console.py` writes it; `npm run api` in `plugins/hookline_console/web/` then generates the types.
Tests of both check that they are up to date.
"""

import json
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

from hookline.service.admin import blueprints
from hookline.service.admin.openapi import document
from hookline.service.app import create_pages

FILE: Final = Path(__file__).parent.parent / "plugins" / "hookline_console" / "web" / "openapi.json"


def api_description() -> str:
    """The OpenAPI document as JSON, without error responses: the client has one type for all problems."""
    # The routes are described without being called, so no engine is needed.
    described: dict[str, Any] = document(create_pages(blueprints(Mock(), "no-token")))
    for operations in described["paths"].values():
        for operation in operations.values():
            operation["responses"] = {
                status: response for status, response in operation["responses"].items() if int(status) < 400
            }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(api_description(), encoding="utf-8")
