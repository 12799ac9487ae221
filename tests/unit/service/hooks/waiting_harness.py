"""Steps that wait, for tests of what is called at their URLs and by their keys."""

import json
from dataclasses import replace
from functools import cache
from typing import Any

from tests.unit.service.hooks.hook_harness import Key as Secret

from hookline.discovery.plugin_loader import load_plugins
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.elements.expressions import Expressions
from hookline.flows.elements.message_keys import MessageKey
from hookline.intake.callbacks import WaitingStep
from hookline.model.callbacks_and_pages import Call, unpack_callback
from hookline.model.webhook import WaitSettings
from hookline.sdk.schemes import Scheme
from hookline.service.hook_request_and_response import HookResponse
from hookline.testing.hook_over_memory import HookOverMemory, webhook_flow

TOKEN = "a-token"
EXECUTION = "01a20e14-1c21-708f-b502-459830859189"


@cache
def _expressions() -> Expressions:
    return Expressions(load_plugins().mappers)


def waiting_flow(
    *, title: str = "", scheme: Scheme[Any, Any] | None = None, by: str | None = None, **settings: Any
) -> CompiledFlow:
    """A flow whose step `approve` waits; `by` is the expression over a call that gives the key it is for."""
    verify = {"scheme": scheme.name, "credential": "key"} if scheme else "none"
    step = CompiledWait(
        id="approve",
        pointer="/steps/0",
        when=None,
        settings=WaitSettings.model_validate({"verify": verify, **settings}),
        scheme=scheme,
        scheme_settings=None if scheme is None else scheme.settings(),
        credential=None if scheme is None else "key",
        key=None,
        key_of_call=None if by is None else MessageKey("correlate.from", (_expressions().template(by, "")[0],)),
        on_error="fail",
    )
    flow = webhook_flow("orders", methods=("POST", "GET"))
    return replace(flow, waits={"approve": step}, settings=replace(flow.settings, title=title))


def waiting(*, over: bool = False, **settings: Any) -> HookOverMemory:
    """A hook where such a step of an execution waits, under `TOKEN`."""
    flow = waiting_flow(**settings)
    hook = HookOverMemory(flow, credentials={"key": (getattr(settings.get("scheme"), "name", ""), Secret(secret="}"))})
    hook.callbacks.steps[TOKEN] = WaitingStep(flow, flow.waits["approve"], EXECUTION, "route/approve", over)
    return hook


async def call(
    hook: HookOverMemory, body: Any = b"{}", content_type: str | None = "application/json", **more: Any
) -> HookResponse:
    """A call to the step's URL."""
    return await hook.send(body, content_type, path=TOKEN, resume=True, **more)


def answer(reply: HookResponse) -> Any:
    """A reply's status, and what is in its JSON."""
    return reply.status, json.loads(reply.body)


def header(reply: HookResponse, name: bytes) -> bytes | None:
    """A header of a reply."""
    return dict(reply.headers).get(name)


def came(hook: HookOverMemory) -> Call:
    """The one call that was kept."""
    (callback,) = hook.callbacks.called
    found = unpack_callback(callback.payload)
    assert isinstance(found, Call)
    return found
