"""The admin API's routes about the installed plugins."""

import asyncio

from quart import Blueprint, Response

from hookline.discovery.plugin_doctor import Examination, examine
from hookline.engine import Engine
from hookline.service.admin.openapi import operation
from hookline.service.admin.responses import json_response
from hookline.service.views.list_page import PageView
from hookline.service.views.plugins import PluginView, plugin_view


def add_plugins(api: Blueprint, engine: Engine) -> None:

    @api.get("/plugins")
    @operation(PageView[PluginView], all_flows=True)
    async def list_plugins() -> Response:
        """List the installed plugins, and why one of them can't be used."""
        registry = engine.registry
        return json_response(PageView([plugin_view(status, registry) for status in registry.plugins], None))

    @api.get("/plugins/doctor")
    @operation(PageView[Examination], all_flows=True)
    async def examine_plugins() -> Response:
        """Examine the installed plugins: the problems of each, with their remedies."""
        # It reads the metadata of all installed packages.
        return json_response(PageView(await asyncio.to_thread(examine), None))
