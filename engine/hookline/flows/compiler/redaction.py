"""Compiling a flow's `redact`: the values of messages and results that no view may show."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from jsonpath_ng import Child, Descendants, Fields, Index, Root
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse
from jsonpath_ng.jsonpath import Wildcard as AnyMember

from hookline.flows.blocks.batch import CompiledBatch
from hookline.flows.blocks.step_type import CompiledStep
from hookline.flows.blocks.webhook_wait import CompiledWait
from hookline.flows.elements.expressions import Expressions, Template, language
from hookline.flows.elements.message_keys import MessageKey
from hookline.flows.elements.tags import Tags
from hookline.kernel.errors import Problem
from hookline.kernel.pointers_and_patches import escape
from hookline.kernel.suggestions_and_counts import listed, unknown_name
from hookline.secrets.masking import PathPart, Wildcard
from hookline.secrets.redaction_rules import MESSAGE, RedactionRule, RedactionRules

_REMEDY: Final = (
    "write the path of a value, such as $.body.card.number, $.headers.x-pin, $.trigger.query.token or "
    "$.steps.charge.body.token; [*] stands for every item, and .. for every depth"
)


def compile_redaction(
    paths: Iterable[str], expressions: Expressions, steps: Mapping[str, str]
) -> tuple[RedactionRules | None, list[Problem]]:
    """Compile the redaction of a flow; None if it has none. `steps`: the pointers of its steps, by id."""
    rules: list[RedactionRule] = []
    problems: list[Problem] = []
    for index, source in enumerate(paths):
        pointer = f"/redact/{index}"
        try:
            places = tuple(_placed(parts) for parts in _alternatives(source, expressions))
            _check_steps(places, steps)
        except _Rejected as rejected:
            found = rejected.problem
            problems.append(replace(found, message=f"{source}: {found.message}", pointer=pointer, code="redact_path"))
        else:
            rules.append(RedactionRule(source, places))
    return (RedactionRules(tuple(rules)) if rules else None), problems


def steps_redacted(path: str) -> set[str]:
    """The steps of whose results a path of `redact` is a value; none if it is no path."""
    try:
        places = _parsed(path)
    except _Rejected:
        return set()
    return {place[1] for place in places if len(place) > 1 and place[0] == "steps" and isinstance(place[1], str)}


class _Rejected(Exception):
    def __init__(self, problem: Problem | str) -> None:
        """`problem`: its text is enough; its place isn't known here."""
        self.problem = Problem(problem, remedy=_REMEDY) if isinstance(problem, str) else problem
        super().__init__(self.problem.message)


def _check_steps(places: Iterable[tuple[PathPart, ...]], steps: Mapping[str, str]) -> None:
    for place in places:
        if place[0] == "steps" and isinstance(place[1], str) and place[1] not in steps:
            others = listed("its steps are", steps) if steps else "the flow has no steps"
            raise _Rejected(
                unknown_name(f"there is no step {place[1]!r}", "", "", place[1], steps, others, before="steps.")
            )


def _alternatives(source: str, expressions: Expressions) -> list[tuple[PathPart, ...]]:
    """The places that a path names: several if a part of it has several keys."""
    if language(source) != "jsonpath":
        raise _Rejected("a path must be a JSONPath, which begins with $")
    template, problems = expressions.template(source)
    if not problems:
        for _, expression in template.parts():
            if expression.path is not None:
                return [expression.path]
    return _parsed(source)


def _parsed(source: str) -> list[tuple[PathPart, ...]]:
    """The places that a JSONPath names. Raises _Rejected."""
    try:
        return _parts(parse(source))
    except (JSONPathError, ValueError) as error:
        raise _Rejected(f"this is not a JSONPath: {error}") from None


def _parts(node: Any) -> list[tuple[PathPart, ...]]:
    match node:
        case Root():
            return [()]
        case AnyMember():
            return [(Wildcard.EACH,)]
        case Fields():
            return [(Wildcard.EACH if field == "*" else field,) for field in node.fields]
        case Index():
            return [(index,) for index in node.indices]
        case Child() | Descendants():
            between = (Wildcard.DEEP,) if isinstance(node, Descendants) else ()
            return [(*left, *between, *right) for left in _parts(node.left) for right in _parts(node.right)]
        case _:
            raise _Rejected(f"{node} selects by something other than keys and indexes")


def _placed(parts: tuple[PathPart, ...]) -> tuple[PathPart, ...]:
    """The place without a leading `trigger`, which is the message. Raises _Rejected if it can't be redacted."""
    of_trigger = parts[:1] == ("trigger",)
    place = parts[1:] if of_trigger else parts
    root = place[0] if place else None
    if root == "attachments":
        remedy = "delete them early instead, with the server setting file_retention"
        raise _Rejected(Problem("files can't be redacted", remedy=remedy))
    if root == "headers" and len(place) == 2 and isinstance(place[1], str):
        return (root, place[1].lower())
    if root in ("body", "headers") or (root in MESSAGE and of_trigger) or (root is Wildcard.DEEP and len(place) > 1):
        return place
    if root == "steps" and len(place) > 1 and place[1] is not Wildcard.DEEP:
        return place
    raise _Rejected("only values of the message and of steps' results can be redacted")


def key_problems(
    redaction: RedactionRules, keys: Iterable[tuple[MessageKey | None, str]], steps: Iterable[CompiledStep]
) -> list[Problem]:
    """Problems of keys that contain redacted values, because keys are stored unencrypted.

    `keys`: each with its pointer.
    """
    templates = [each for key, pointer in keys for each in _parts_of(key, pointer)]
    for step in steps:
        if isinstance(step, CompiledWait):
            at = f"{step.pointer}/with/correlate"
            templates += [(step.key, f"{at}/key")] if step.key is not None else []
            templates += _parts_of(step.key_of_call, f"{at}/from")
        elif isinstance(step, CompiledBatch) and step.key is not None:
            templates.append((step.key, f"{step.pointer}/with/key"))
    problems = []
    for template, pointer in templates:
        read = redaction.read_by(reference.path for reference in template.references)
        if read is not None:
            path, only = read
            problems.append(
                Problem(
                    f"{path} is redacted, but a key that contains it is stored unencrypted",
                    pointer,
                    "redacted_key",
                    "use a value that differs between messages and is no secret, such as $.body.id",
                    "error" if only else "warning",
                )
            )
    return problems


def tag_problems(redaction: RedactionRules, tags: Tags | None) -> list[Problem]:
    """Problems of tags that contain redacted values, because everybody who may list executions sees tags."""
    return [
        Problem(
            f"{read[0]} is redacted, but everybody who may list executions sees tags",
            f"/tags/{escape(name)}",
            "redacted_tag",
            "use a value that is no secret, such as $.body.id",
        )
        for name, template in ({} if tags is None else tags.templates).items()
        if (read := redaction.read_by(reference.path for reference in template.references)) is not None
    ]


def _parts_of(key: MessageKey | None, pointer: str) -> Iterator[tuple[Template, str]]:
    """The parts of a key, each with its pointer."""
    if key is not None:
        for index, part in enumerate(key.parts):
            yield part, f"{pointer}/{index}" if key.compound else pointer
