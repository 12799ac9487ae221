"""What the console's sources have of the server: the description of the admin API, from which its client is generated,
and the schemas of all types of credentials, with which its forms are tested.

`python docs/render_console.py` writes both; `npm run api` in `plugins/hookline_console/web/` then generates the types.
Tests check that all are up to date.
"""

import json
from pathlib import Path
from typing import Any, Final
from unittest.mock import Mock

from hookline.discovery.plugin_loader import load_plugins
from hookline.service.admin import blueprints
from hookline.service.admin.openapi import document
from hookline.service.app import create_pages
from hookline.service.views.components import component_schema

_WEB: Final = Path(__file__).parent.parent / "plugins" / "hookline_console" / "web"
FILE: Final = _WEB / "openapi.json"
CREDENTIAL_TYPES: Final = _WEB / "src" / "credentials" / "credential_types.json"


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


def credential_types() -> str:
    """The JSON Schema of the values of each type of credentials, by its name."""
    registry = load_plugins()
    schemas = {name: component_schema(registry, "credential type", name) for name in sorted(registry.credential_types)}
    return json.dumps(schemas, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FILE.write_text(api_description(), encoding="utf-8")
    CREDENTIAL_TYPES.write_text(credential_types(), encoding="utf-8")
