"""Checking a flow before it runs: `hookline check`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from hookline.discovery.registry import Registry
from hookline.flows.check.fixes import with_fixes
from hookline.flows.check.replies import reply_problems
from hookline.flows.check.secret_exposure import secret_exposure_problems
from hookline.flows.check.suspicious_texts import text_problems
from hookline.flows.check.type_analysis import analyse_flow
from hookline.flows.check.type_mismatch import type_mismatch_problems
from hookline.flows.check.unknown_paths import path_problems
from hookline.flows.check.unreachable import unreachable_problems
from hookline.flows.check.unsafe_retry import unsafe_retry_problems
from hookline.flows.compiler.compile import compile_document
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.server_requirements import one_host_problems, public_url_problems, require_verification
from hookline.flows.documents.read import Document, read
from hookline.flows.elements.outside_references import CredentialUse, FlowUse, KnownFlow
from hookline.flows.types.sample_shapes import NO_SAMPLES, Samples
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.pointers_and_patches import replacing
from hookline.kernel.suggestions_and_counts import listed, nearest_name, question, unknown_name
from hookline.secrets.credential_reach import KnownCredential, covers

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def analysis_problems(
    flow: CompiledFlow, samples: Samples = NO_SAMPLES, hosts: Mapping[str, Sequence[str]] = _NOTHING
) -> list[Problem]:
    """The problems of a flow that compiles. An error is certain: the step would fail whenever it runs.

    `hosts`: the only hosts to which credentials may be sent, by the names of those for which they are known.
    """
    walked = analyse_flow(flow, samples)
    return [
        *path_problems(walked),
        *type_mismatch_problems(walked, flow.vars),
        *unreachable_problems(walked),
        *reply_problems(flow, walked),
        *unsafe_retry_problems(walked),
        *secret_exposure_problems(walked, hosts),
    ]


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """A flow with its problems."""

    problems: list[Problem]
    """All of them, warnings included, in the order of the text."""
    flow: CompiledFlow | None
    """None if it has errors that keep it from running."""


def check_flow(
    source: bytes | Document,
    registry: Registry,
    credentials: Mapping[str, KnownCredential] | None = None,
    *,
    flows: Mapping[str, KnownFlow] | None = None,
    file: str | None = None,
    environment: Mapping[str, str] = _NOTHING,
    unverified: Sequence[str] | None = None,
    public_url: bool = True,
    several_hosts: bool = False,
    samples: Samples = NO_SAMPLES,
) -> CheckedFlow:
    """Find all problems of a flow.

    `credentials`: the existing credentials by name; if None, the names of credentials aren't checked.
    `flows`: all existing flows, likewise. `environment` holds the variables that may override vars.
    `unverified`: see
    `require_verification`. `public_url`: the server has a public URL. `several_hosts`: nodes run on several hosts.
    `samples`: the shapes of bodies and results that the flow's cases show; they are used where no type is declared.
    Raises NoConnectors.
    """
    registry.require_connectors()
    try:
        document = read(source, file) if isinstance(source, bytes) else source
    except FlowInvalid as error:
        return CheckedFlow(list(error.problems), None)
    examined = compile_document(document, registry, environment=environment)
    own_id = document.flow_id or ""
    problems = require_verification(examined.problems, own_id, unverified)
    hosts = {
        name: one.hosts
        for name, one in (credentials or {}).items()
        # Where a type names hosts, too, they depend on the credential's values.
        if one.hosts and not registry.credential_hosts.get(one.type)
    }
    if examined.flow is not None:
        found_before = {(problem.pointer, problem.code) for problem in problems}
        # The compiler has reported some of these already.
        problems += [
            problem
            for problem in analysis_problems(examined.flow, samples, hosts)
            if (problem.pointer, problem.code) not in found_before
        ]
    known = {problem.pointer for problem in problems if problem.code in ("secret_shown", "secret_in_flow")}
    problems += [
        problem
        for problem in text_problems(document.value, registry.mappers)
        if problem.code != "secret_in_flow" or problem.pointer not in known
    ]
    if several_hosts and examined.flow is not None:
        problems += one_host_problems(examined.flow, document.value)
    if credentials is not None:
        for use in examined.credentials:
            problems += _credential_problems(use, own_id, credentials)
    if flows is not None:
        problems += [problem for use in examined.flows for problem in _flow_problems(use, own_id, flows)]
    if not public_url and examined.flow is not None:
        problems += public_url_problems(examined.flow)
    return CheckedFlow(with_fixes(document.place(problems), document.value), examined.flow)


def _flow_problems(use: FlowUse, own_id: str, flows: Mapping[str, KnownFlow]) -> Iterator[Problem]:
    called = flows.get(use.id)
    if called is not None and (use.id == own_id or covers(called.callable_by, own_id)):
        return
    if called is not None and called.shown:
        message = f"flow {own_id!r} may not call flow {use.id!r}"
        yield Problem(message, use.pointer, "not_callable", f"add {own_id!r} to the `callable_by` of flow {use.id!r}")
        return
    # A flow that isn't shown, and may not be called, is as if it didn't exist.
    shown = [flow_id for flow_id, flow in flows.items() if flow.shown]
    others = listed("the flows are", shown) if shown else "there are no other flows"
    yield unknown_name(f"there is no flow {use.id!r}", use.pointer, "unknown_flow", use.id, shown, others)


def _credential_problems(
    use: CredentialUse, flow_id: str, credentials: Mapping[str, KnownCredential]
) -> Iterator[Problem]:
    wanted = " or ".join(use.types)
    make = f"hookline credentials set {use.name} --type {use.types[0]} …"
    fitting = [name for name, one in credentials.items() if one.type in use.types and covers(one.flows, flow_id)]
    found = credentials.get(use.name)
    if found is None:
        near = nearest_name(use.name, fitting)
        yield Problem(
            f"there is no credential {use.name!r}",
            use.pointer,
            "credential_missing",
            f"{question(near)} Otherwise create it: `{make}`" if near else f"create it: `{make}`",
            unknown=use.name,
            similar=near,
        )
        return
    if found.type not in use.types:
        yield Problem(
            f"credential {use.name!r} is of type {found.type}, but type {wanted} is needed",
            use.pointer,
            "credential_type",
            f"name one of type {wanted}, or create it: `hookline credentials set … --type {use.types[0]}`",
            fix=replacing(use.pointer, fitting[0]) if len(fitting) == 1 else (),
        )
    if not covers(found.flows, flow_id):
        yield Problem(
            f"credential {use.name!r} is not for flow {flow_id!r}",
            use.pointer,
            "credential_flows",
            "name one that is, or let an administrator add the flow to its `flows`",
            fix=replacing(use.pointer, fitting[0]) if len(fitting) == 1 else (),
        )
    if use.sent:
        for warning in found.warnings:
            yield Problem(f"credential {use.name!r}: {warning}", use.pointer, "credential_hosts", severity="warning")
