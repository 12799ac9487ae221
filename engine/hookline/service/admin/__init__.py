"""The admin API (`/api/v1/`), and the routes for monitoring: `/healthz`, `/readyz` and `/metrics`.

Everything under `/api/v1/` needs a token or the cookie of a session, and each route a scope; except for signing in.
Health and readiness don't: they are for probes without a token.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from quart import Blueprint, Response, current_app
from werkzeug.routing import BaseConverter, Map

from hookline.access.tokens import ServerToken
from hookline.engine import Engine
from hookline.kernel.errors import HooklineError
from hookline.model.access import Actor
from hookline.service.admin.executions.dead_letters import add_dead_letters
from hookline.service.admin.executions.events import add_events
from hookline.service.admin.executions.executions import add_executions
from hookline.service.admin.executions.operations import add_bulk, add_operations
from hookline.service.admin.executions.recordings import add_recordings
from hookline.service.admin.executions.rejected import add_rejected
from hookline.service.admin.executions.search import add_search
from hookline.service.admin.executions.statistics import add_statistics
from hookline.service.admin.executions.values import add_values
from hookline.service.admin.flows.authoring import add_authoring
from hookline.service.admin.flows.captures import add_captures
from hookline.service.admin.flows.deploy import add_deployments
from hookline.service.admin.flows.drafts import add_drafts
from hookline.service.admin.flows.flow_state import add_flow_values
from hookline.service.admin.flows.flows import add_flows
from hookline.service.admin.flows.signing import add_signing
from hookline.service.admin.flows.step_counts import add_step_counts
from hookline.service.admin.flows.versions import add_versions
from hookline.service.admin.gate import Gate
from hookline.service.admin.hosts import Hosts
from hookline.service.admin.openapi import Description, operation
from hookline.service.admin.system.attention import add_attention
from hookline.service.admin.system.audit import add_audit
from hookline.service.admin.system.components import add_components
from hookline.service.admin.system.credentials import add_credentials
from hookline.service.admin.system.health import Readiness, probes_blueprint
from hookline.service.admin.system.metrics import metrics_blueprint
from hookline.service.admin.system.nodes import add_nodes
from hookline.service.admin.system.plugins import add_plugins
from hookline.service.admin.system.server_settings import ServerSettingView, add_settings
from hookline.service.admin.system.sessions import add_sessions
from hookline.service.admin.system.storage import add_storage
from hookline.service.admin.system.tokens import add_tokens
from hookline.service.app import create_endpoints
from hookline.service.hooks.hook_endpoint import Hook, HookOptions
from hookline.service.hooks.sender import Senders
from hookline.telemetry.worker_metrics import WorkerMetrics


class OtherThan(BaseConverter):
    """A part of a path that isn't one of some words, as in `<but(many):execution_id>`, because they are other routes.

    Without it, a wrong method on such a route would be handled as if the word were an id.
    """

    def __init__(self, map: Map, *words: str) -> None:
        super().__init__(map)
        self.regex = rf"(?!(?:{'|'.join(words)})\Z)[^/]+"


def blueprints(
    engine: Engine,
    token: str | ServerToken,
    *,
    hooks: HookOptions | None = None,
    own: Actor | None = None,
    hosts: Hosts | None = None,
    metrics_public: bool = False,
    readiness: Readiness | None = None,
    senders: Senders | None = None,
    workers: WorkerMetrics | None = None,
    settings: Sequence[ServerSettingView] = (),
) -> tuple[Blueprint, ...]:
    """Create the blueprints of an engine.

    `token`: the server's own token. `hooks`: the settings for hooks, which also hold for messages that the API sends.
    `own`: the actor that uses the token, if that isn't the token itself. `hosts`: the hosts of the API besides its
    address and localhost, and the URL of the console. `metrics_public`: `/metrics` needs no token. `senders` finds the
    addresses behind trusted proxies. `workers`: the metrics of the other workers of the server. `settings`: those of
    this node.
    """
    token = ServerToken(token) if isinstance(token, str) else token
    gate = Gate(engine, token, own, hosts, senders)
    probes = probes_blueprint(engine, readiness or Readiness.of(engine), token)
    hook = create_endpoints(engine, hooks or HookOptions(engine.options.public_url)).hook
    api = _api(engine, gate, hook, settings)
    return api, probes, metrics_blueprint(engine, gate, public=metrics_public, workers=workers)


def _api(engine: Engine, gate: Gate, hook: Hook, settings: Sequence[ServerSettingView]) -> Blueprint:
    api = Blueprint("api", __name__, url_prefix="/api/v1")
    api.record_once(lambda state: state.app.url_map.converters.update(but=OtherThan))
    api.register_error_handler(HooklineError, gate.respond)
    api.before_request(gate.check_request)
    # In the order of the API's description.
    for add in (
        add_attention,
        add_flows,
        add_rejected,
        add_statistics,
        add_step_counts,
        add_components,
        add_authoring,
        add_drafts,
        add_captures,
        add_versions,
        add_deployments,
        add_flow_values,
        add_recordings,
        add_storage,
        add_executions,
        add_values,
        add_operations,
        add_bulk,
        add_search,
        add_dead_letters,
        partial(add_events, gate=gate),
        add_credentials,
        add_tokens,
        add_audit,
        partial(add_sessions, gate=gate),
        add_nodes,
        add_plugins,
    ):
        add(api, engine)
    add_settings(api, settings)
    add_signing(api, engine, hook)
    description = Description()

    @api.get("/openapi.json")
    @operation(dict[str, Any])
    async def get_description() -> Response:
        """Get this description."""
        return Response(description.json(current_app), content_type="application/json")

    return api
