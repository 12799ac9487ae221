"""The admin API's routes about components."""

import asyncio
from functools import cache
from typing import Any, Final

from quart import Blueprint, Response

from hookline.credentials.connector_options import OptionsRequest, fetch_options
from hookline.engine import Engine
from hookline.flows.authoring.editor_schema import flow_schema
from hookline.kernel.errors import ComponentNotFound, CredentialError, NoOptions, OptionsNotReady, StepError
from hookline.kernel.json import encode
from hookline.model.access import TokenScope
from hookline.service.admin.gate import caller
from hookline.service.admin.openapi import operation
from hookline.service.admin.request_reading import Parameter, decode_body, read_body, read_query
from hookline.service.admin.responses import json_response
from hookline.service.admin.system.credentials import visible_credentials
from hookline.service.views.components import (
    ComponentView,
    OptionsPageView,
    OptionsRequestBody,
    component_schema,
    component_views,
    options_page_view,
)
from hookline.service.views.list_page import PageView

_KIND: Final = (
    Parameter(
        "kind",
        "The kind of the component.",
        {"type": "string", "enum": ["action", "block", "trigger", "scheme", "credential type"]},
        required=True,
    ),
)


def add_components(api: Blueprint, engine: Engine) -> None:
    #: The components are those of the start, and writing them takes many milliseconds.
    schema_text = cache(lambda: flow_schema(engine.registry))
    components_text = cache(lambda: encode(PageView(component_views(engine.registry), None)))

    @api.get("/schema")
    @operation(dict[str, Any], connectors=True)
    async def get_flow_schema() -> Response:
        """Get the JSON Schema of flows with the installed components, for completion in editors."""
        return Response(await asyncio.to_thread(schema_text), content_type="application/json")

    @api.get("/components")
    @operation(PageView[ComponentView], connectors=True)
    async def list_components() -> Response:
        """List the components: actions, triggers, blocks, schemes, mappers and types of credentials."""
        return Response(await asyncio.to_thread(components_text), content_type="application/json")

    @api.get("/components/<component>/schema")
    @operation(dict[str, Any], query=_KIND, errors=(ComponentNotFound,), connectors=True)
    async def get_schema(component: str) -> Response:
        """Get the JSON Schema of a component's settings, or of the values of a type of credentials."""
        kind = read_query(_KIND)["kind"]
        schema = component_schema(engine.registry, kind, component)
        if schema is None:
            raise ComponentNotFound(f"there is no {kind} {component!r}")
        return json_response(schema)

    @api.post("/components/<component>/options/<setting>")
    @operation(
        OptionsPageView,
        request=OptionsRequestBody,
        scope=TokenScope.AUTHOR,
        errors=(NoOptions, OptionsNotReady, CredentialError, StepError),
        connectors=True,
    )
    async def list_options(component: str, setting: str) -> Response:
        """List the options of a setting, as the service of an action or a trigger offers them.

        If a setting has options, the component's setting says so under `options`, with the other settings on which they
        depend. If the service fails, the status is 502.
        """
        given = decode_body(await read_body(), OptionsRequestBody)
        seen = {one.name for one in visible_credentials(engine, caller())}
        if given.credential is not None and given.credential not in seen:
            raise CredentialError(f"there is no credential {given.credential!r}")
        found = await fetch_options(
            OptionsRequest(component, setting, given.credential, given.with_, given.search),
            engine.credentials,
            engine.plugin_calls,
            http=engine.http,
            resources=engine.resources,
            log=engine.log,
            tokens=engine.tokens,
        )
        return json_response(options_page_view(found))
