"""The admin API (`/api/v1/`), and the routes for monitoring: `/healthz`, `/readyz` and `/metrics`.

Everything under `/api/v1/` requires the bearer token. Health, readiness and metrics don't: they contain only counts and
the names of flows, and are for probes without a token.
"""

from typing import Any

from quart import Blueprint, Response, current_app

from hookline.engine import Engine
from hookline.kernel.errors import HooklineError, NotVerified
from hookline.service.admin.components import add_components
from hookline.service.admin.credentials import add_credentials
from hookline.service.admin.dead_letters import add_dead_letters
from hookline.service.admin.deployments import add_deployments
from hookline.service.admin.events import add_events
from hookline.service.admin.executions import add_executions, add_recordings
from hookline.service.admin.flow_state import add_flow_values
from hookline.service.admin.flows import add_flows
from hookline.service.admin.health import has_admin_token, health_blueprint
from hookline.service.admin.openapi import Description, operation
from hookline.service.admin.operations import add_bulk, add_operations
from hookline.service.admin.rejected import add_rejected
from hookline.service.admin.requests import problem_response
from hookline.service.admin.storage import add_storage


def blueprints(engine: Engine, token: str) -> tuple[Blueprint, ...]:
    """Create the blueprints of an engine. `token`: the bearer token that the API accepts."""
    return _api(engine, token), health_blueprint(engine, token)


def _api(engine: Engine, token: str) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/api/v1")

    @api.errorhandler(HooklineError)
    async def rejected(error: HooklineError) -> Response:
        return problem_response(error)

    @api.before_request
    async def authorise() -> None:
        if not has_admin_token(token):
            raise NotVerified("Send the admin token: Authorization: Bearer <token>.")

    # In the order of the API's description.
    for add in (
        add_flows,
        add_rejected,
        add_components,
        add_deployments,
        add_flow_values,
        add_recordings,
        add_storage,
        add_executions,
        add_operations,
        add_bulk,
        add_dead_letters,
        add_events,
        add_credentials,
    ):
        add(api, engine)
    description = Description()

    @api.get("/openapi.json")
    @operation(dict[str, Any])
    async def get_description() -> Response:
        """Get this description."""
        return Response(description.json(current_app), content_type="application/json")

    return api
