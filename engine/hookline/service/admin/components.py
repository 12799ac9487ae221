"""The admin API's route about what flows can use."""

from quart import Blueprint, Response

from hookline.runtime.engine import Engine
from hookline.service.admin.messages import answer
from hookline.service.admin.openapi import operation
from hookline.service.components import ComponentView, component_views
from hookline.service.views.pages import PageView


def add_components(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.get("/components")
    @operation(PageView[ComponentView])
    async def list_components() -> Response:
        """What flows can use: actions, triggers, schemes, mappers, types of credentials."""
        return answer(PageView(component_views(engine.registry), None))
