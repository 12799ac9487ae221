"""The admin API's route about the settings of the server."""

from collections.abc import Sequence
from typing import Any

import msgspec
from quart import Blueprint, Response

from hookline.service.admin.openapi import operation
from hookline.service.admin.responses import json_response
from hookline.service.views.list_page import PageView


class ServerSettingView(msgspec.Struct, frozen=True):
    """A setting of the node that answers. Secrets in its value are masked."""

    name: str
    variable: str
    """The environment variable that sets it."""
    value: Any
    default: Any
    source: str | None
    """The file that sets it, `the environment` or `the command line`; null if it has its default."""
    description: str


def add_settings(api: Blueprint, settings: Sequence[ServerSettingView]) -> None:

    @api.get("/settings")
    @operation(PageView[ServerSettingView], all_flows=True)
    async def list_settings() -> Response:
        """List the settings of this node, and the source of each."""
        return json_response(PageView(list(settings), None))
