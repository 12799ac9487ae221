"""Rule: secrets are not in logs, URLs or the flow's own text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretBytes, SecretStr
from pydantic.fields import FieldInfo
from yarl import URL

from hookline.flows.blocks.action import CompiledAction
from hookline.flows.check.type_analysis import FlowAnalysis
from hookline.flows.check.unknown_paths import path_text
from hookline.flows.elements.expressions import Template
from hookline.flows.elements.fixed_origin import has_fixed_origin
from hookline.kernel.errors import Problem
from hookline.secrets.credential_reach import names_host
from hookline.secrets.masking import is_secret_name, names_a_key


def secret_exposure_problems(walked: FlowAnalysis, hosts: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Yield a warning for each exposed secret, and an error for each credential that isn't sent to a step's URL.

    `hosts`: see `analysis_problems`.
    """
    seen: set[Problem] = set()
    for visit in walked.visits:
        if isinstance(visit.compiled, CompiledAction):
            for problem in _of(visit.compiled, hosts):
                if problem not in seen:
                    seen.add(problem)
                    yield problem


def _of(step: CompiledAction, hosts: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    fields = step.settings.fields or {}
    for name in sorted(step.action.exposed & fields.keys()):
        yield from _in_expressions(step, fields[name])
        if fields[name].constant:
            yield from _in_url(fields[name])
    if step.credential is not None:
        yield from _hosts(step, fields, hosts.get(step.credential, ()))
    for info in step.action.settings.model_fields.values():
        field = fields.get(info.alias or "")
        if field is not None and field.constant and isinstance(field.value, str) and _takes_secret(info):
            yield Problem(
                f"{info.alias!r} is a secret, but is written in the flow",
                field.pointer,
                "secret_in_flow",
                "use a credential, or a var that an environment variable sets",
                "warning",
            )


def _hosts(step: CompiledAction, fields: Mapping[str, Template], hosts: Sequence[str]) -> Iterator[Problem]:
    """`hosts`: the only ones to which the credential may be sent; empty if they aren't known."""
    for name in sorted(step.action.credential_goes_to & fields.keys()):
        field = fields[name]
        if hosts and field.constant and not _is_named(field.value, hosts):
            yield Problem(
                f"credential {step.credential!r} is not sent to this host, but to {', '.join(hosts)}",
                field.pointer,
                "credential_host",
                "correct the URL, or let an administrator add the host to the credential's `hosts`",
            )
        elif not hosts and not has_fixed_origin(field):
            yield Problem(
                f"a message chooses the host to which the credential {step.credential!r} is sent",
                field.pointer,
                "credential_host",
                "begin the URL with a scheme and a host, or with a var of the flow that has them; or name the hosts in "
                "the credential: `hosts`",
                "warning",
            )


def _is_named(url: Any, hosts: Sequence[str]) -> bool:
    try:
        target = URL(url)
        return not target.raw_host or names_host(hosts, target.raw_host, target.port, scheme=target.scheme)
    except (TypeError, ValueError):
        return True  # another check says what is wrong with it


def _in_expressions(step: CompiledAction, field: Template) -> Iterator[Problem]:
    for pointer, expression in field.parts():
        for reference in expression.references:
            if _secret(reference.path):
                yield Problem(
                    f"{path_text(reference.path)} looks like a secret, which {step.action.name!r} shows to others",
                    pointer,
                    "secret_shown",
                    "remove it; put secrets of requests into a credential or a header",
                    "warning",
                )


def _secret(path: tuple[str | int, ...]) -> bool:
    if len(path) < 2 or not isinstance(last := path[-1], str):
        return False
    if path[-2] == "headers":
        return is_secret_name(last)
    return path[0] == "vars" and any(isinstance(key, str) and names_a_key(key) for key in path[1:])


def _in_url(field: Template) -> Iterator[Problem]:
    """Yield a warning for a secret in a URL."""
    value = field.value
    if not isinstance(value, str) or "://" not in value:
        return
    try:
        parts = urlsplit(value)
        found = parts.password is not None or any(names_a_key(key) for key, _ in parse_qsl(parts.query))
    except ValueError:
        return
    if found:
        yield Problem(
            "this URL contains a secret, which is visible in the flow and in logs",
            field.pointer,
            "secret_shown",
            'use a credential: "credential": "…"',
            "warning",
        )


def _takes_secret(info: FieldInfo) -> bool:
    annotation: Any = info.annotation
    return annotation in (SecretStr, SecretBytes, SecretStr | None, SecretBytes | None)
