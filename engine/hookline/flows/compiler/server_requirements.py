"""The parts of a flow that need something of the server: its public URL, its files, its host, or a plugin."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.step_walkers import walk_steps
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.pointers_and_patches import escape
from hookline.secrets.credential_reach import covers

PUBLIC_URL: Final = (
    "set HOOKLINE_PUBLIC_URL, or public_url in hookline.toml, to the part of the provider's URL before /hook/"
)


def public_url_problems(flow: CompiledFlow) -> list[Problem]:
    """A warning for each part of a flow that needs the server's public URL, for a server without that setting."""
    places = [("/trigger/with/verify", flow.trigger.scheme)]
    places += [(f"{step.pointer}/with/verify", step.scheme) for step in flow.waits.values()]
    missing = []
    if flow.trigger.subscribes is not None:
        message = f"trigger {flow.trigger.use!r} tells the provider the URL of this server, which has no public_url"
        missing.append(Problem(message, "/trigger/use", "public_url_missing", PUBLIC_URL, "warning"))
    return missing + [
        Problem(
            f"scheme {scheme.name!r} signs the URL that is called, but this server has no public_url: signatures are "
            "only valid if it is called at its own address",
            pointer,
            "public_url_missing",
            PUBLIC_URL,
            "warning",
        )
        for pointer, scheme in places
        if scheme is not None and scheme.signs_url
    ]


def require_verification(problems: Iterable[Problem], flow_id: str, unverified: Sequence[str] | None) -> list[Problem]:
    """The problems of a flow; it is an error if it accepts unverified requests, unless it may.

    `unverified`: patterns of the ids of the flows that may; None for all.
    """
    if unverified is None or (unverified and covers(unverified, flow_id)):
        return list(problems)
    return [
        replace(
            problem,
            message="requests are not verified, and this server requires it (require_verification)",
            severity="error",
            remedy="name the scheme with which the sender signs, or let an operator add the flow to the server's "
            "setting unverified_flows",
        )
        if problem.code == "not_verified"
        else problem
        for problem in problems
    ]


def require_actions(flow: CompiledFlow) -> CompiledFlow:
    """Return a flow whose actions are all installed. Raises FlowInvalid if one is missing."""
    if not flow.missing_actions:
        return flow
    remedy = "send the request to a node that has its plugin, or install the plugin here"
    raise FlowInvalid(
        [
            Problem(f"this node lacks the action {name!r}, which flow {flow.id!r} uses", "", "unknown_action", remedy)
            for name in sorted(flow.missing_actions)
        ]
    )


#: The connector whose actions and triggers read and write files in the server's folder.
_FILES: Final = "file."
_SQLITE: Final = "sqlite:"


def _uses(flow: CompiledFlow) -> list[tuple[str, str]]:
    """The places where a flow names a trigger or an action, and the names."""
    compiled_steps = [step.compiled for steps in (flow.steps, flow.on_error_steps) for step in walk_steps(steps)]
    actions = [
        (f"{compiled.pointer}/use", compiled.action.name)
        for compiled in compiled_steps
        if isinstance(compiled, CompiledAction)
    ]
    return [("/trigger/use", flow.trigger.use), *actions]


def one_host_problems(flow: CompiledFlow, document: Any) -> list[Problem]:
    """A warning for each part of a flow that uses a file of one host, for nodes on several hosts."""
    remedy = "use a folder that all hosts share, a bucket (s3.*), or a database that all hosts reach"
    found = [
        Problem(f"{use!r} uses the files of the host whose node runs it", pointer, "one_host", remedy, "warning")
        for pointer, use in _uses(flow)
        if use.startswith(_FILES)
    ]
    return found + [
        Problem("the SQLite file is on the host whose node runs the step", pointer, "one_host", remedy, "warning")
        for pointer, text in _texts(document, "")
        if text.startswith(_SQLITE)
    ]


def _texts(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _texts(one, f"{pointer}/{escape(str(key))}")
