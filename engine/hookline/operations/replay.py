"""Replays: new executions with the message of an earlier one, from the beginning or from one of its steps."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, TypeAlias

import msgspec
from jsonpath_ng.exceptions import JSONPathError
from jsonpath_ng.ext.parser import parse

from hookline.access.audit import audited
from hookline.deployments.journal_dry_run import unrecorded_items
from hookline.executions.delivery.loading import Versions
from hookline.executions.replay_edits import edit_entry, edited_path
from hookline.flows.blocks.action import CompiledAction
from hookline.flows.blocks.batch import USE as GATHER
from hookline.flows.blocks.step_walkers import WalkedStep, without_items
from hookline.flows.blocks.try_block import CompiledTry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.compiler.server_requirements import require_actions
from hookline.flows.compiler.step_positions import RelativePosition, StepPositions
from hookline.intake.body_checker import BodyChecker
from hookline.intake.envelope_creation import replay_envelope, with_keys
from hookline.intake.intake import Intake
from hookline.kernel.cancellation import shields
from hookline.kernel.clocks import Clock
from hookline.kernel.errors import ExecutionNotFound, NotReplayable
from hookline.kernel.ids import Ids
from hookline.kernel.json import decode, encode, to_decimal
from hookline.model.access import Actor
from hookline.model.execution import REPLAY, Execution, StepRecord, StepState, stored_size
from hookline.model.message import Envelope, Message, is_heavy_message, json_to_store
from hookline.plugin_host.large_value_work import Offloader
from hookline.secrets.redaction import Redaction, check_not_erased
from hookline.storage.change_declarations import (
    Accept,
    Accepted,
    Change,
    DismissDeadLetter,
    Park,
    RecordSteps,
    Start,
    UseFiles,
)
from hookline.storage.store import Store, readable_envelope

ReplayVersion: TypeAlias = Literal["current", "same"]
"""The version for the replay: the current one, or the one of the recorded execution."""


@dataclass(frozen=True, slots=True)
class Edit:
    """The changes to the message of a replay."""

    body: bytes | None = None
    """JSON that replaces the body."""
    headers: Mapping[str, str] | None = None
    """Headers that replace all headers."""
    paths: Mapping[str, Any] = field(default_factory=dict)
    """Values by JSONPath, each of which begins with `$.body` or `$.headers`."""
    merge: Any = None
    """A JSON merge patch (RFC 7396) for the body; an object."""

    @property
    def by_parts(self) -> bool:
        """True if the edit changes parts of the message, so that the message must be known."""
        return bool(self.paths) or self.merge is not None

    def __bool__(self) -> bool:
        return self.body is not None or self.headers is not None or self.by_parts


class Replays:
    """Create executions that replay others, with ids and keys of their own."""

    def __init__(
        self,
        *,
        store: Store,
        versions: Versions,
        intake: Intake,
        wake: Callable[[str, str], Awaitable[None]],
        redaction: Redaction,
        clock: Clock,
        ids: Ids,
        body_checker: BodyChecker,
    ) -> None:
        """`wake` delivers a ready execution of a flow."""
        self._store = store
        self._versions = versions
        self._intake = intake
        self._wake = wake
        self._redaction = redaction
        self._offloader = Offloader()
        self._body_checker = body_checker
        self._clock = clock
        self._ids = ids

    async def replay(
        self,
        execution_id: str,
        *,
        by: Actor,
        step: str | None = None,
        version: ReplayVersion = "current",
        edit: Edit | None = None,
        discard: bool = False,
    ) -> str:
        """Replay an execution and return the id of the new one. `by` is recorded.

        `step`: the path or id of the step to start from; the steps before it aren't run again. `edit` applies to the
        message that reaches that step, or to the first message. `discard`: remove the failed execution from the dead
        letters.

        Raises ExecutionNotFound, NotReplayable, RedactedUnreadable, FlowNotFound and FlowInvalid if the version isn't
        available, FlowUnknown if the flow is stopped, SchemaViolation, IllegalStateChange if there is nothing to
        discard or the files were removed meanwhile, and StoreError.
        """
        old, envelope = await self._recorded(execution_id)
        flow = await self._flow(old, version)
        large = is_heavy_message(envelope)
        decrypt = partial(self._redaction.decrypt, flow.redaction_rules, envelope)
        envelope, _, redactor = await self._offloader.run(decrypt, large=large)
        edit = edit or Edit()
        now = self._clock.now()
        again = replay_envelope(envelope, execution_id=self._ids.new(), now=now)
        if step is None and edit:
            again = _edited(again, edit, exact=flow.exact)
            await self._body_checker.check(flow, again.message.body)
        tail: tuple[Change, ...] = (
            audited(
                self._ids.new(),
                now,
                by,
                "execution.replay",
                flow_id=flow.id,
                flow_version=flow.version,
                subject=old.id,
                detail=_told(again.execution_id, step, edit, discard=discard),
            ),
        )
        # A purge or a sweep may have removed its files since it was read.
        if old.files_removed_at is None:
            tail += (UseFiles(old.id),)
        if discard:
            tail += (DismissDeadLetter(old.id, now),)
        if step is None and version == "current":
            await self._accept(flow, again, tail)
            return again.execution_id
        entries: Sequence[StepRecord] = ()
        if step is not None:
            entries = await self._before(old, envelope, flow, step, edit)
        redact = partial(self._redaction.redact_replay, flow.redaction_rules, with_keys(flow, again), entries, redactor)
        again, entries = await self._offloader.run(redact, large=large or is_heavy_message(again, stored_size(entries)))
        id_: str = again.execution_id
        vars = flow.vars_to_store() if version == "current" else old.vars
        changes: list[Change] = [
            Accept(again, begun=True),
            *(self._versions.publish_changes(flow, now) if version == "current" else ()),
            Start(id_, flow.version, now, vars),
            *((RecordSteps(id_, tuple(entries)),) if entries else ()),
            Park(id_, now, now, REPLAY),
            *tail,
        ]
        await self._begin(again, changes)
        return id_

    async def _recorded(self, execution_id: str) -> tuple[Execution, Envelope]:
        execution = await self._store.execution(execution_id)
        if execution is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        envelope = await readable_envelope(self._store, execution_id)
        if envelope is None:
            raise NotReplayable(f"the message of execution {execution_id} is no longer stored")
        if execution.files_removed_at is not None and envelope.message.attachments:
            raise NotReplayable(
                f"the files of execution {execution_id} were removed {execution.files_removed_at:%Y-%m-%d} (the "
                "setting file_retention)"
            )
        return execution, envelope

    async def _flow(self, old: Execution, version: ReplayVersion) -> CompiledFlow:
        if version == "current":
            return require_actions(self._intake.flow(old.flow_id))
        if old.flow_version is None:
            raise NotReplayable(f"execution {old.id} never ran, so that no version is its own; replay the current one")
        return require_actions(await self._versions.version(old.flow_id, old.flow_version))

    @shields
    async def _accept(self, flow: CompiledFlow, again: Envelope, tail: tuple[Change, ...]) -> None:
        accept = await self._intake.emit(flow, again)
        accepted, *_ = await self._store.commit((accept, *tail))
        if isinstance(accepted, Accepted):
            self._intake.note_emitted(flow.id)

    @shields
    async def _begin(self, again: Envelope, changes: Sequence[Change]) -> None:
        await self._store.commit(changes)
        await self._wake(again.flow_id, again.execution_id)

    async def _before(
        self, old: Execution, envelope: Envelope, flow: CompiledFlow, step: str, edit: Edit
    ) -> tuple[StepRecord, ...]:
        """The journal entries of the steps before a step, and of the edited message that reaches it."""
        if edit.by_parts:
            raise NotReplayable(
                "the message that reaches a step can only be replaced as a whole: give its body, or leave the step out"
            )
        journal = await self._store.journal(old.id)
        check_not_erased(envelope, journal)
        order = StepPositions(flow.steps)
        last = {record.path: record for record in journal}
        at = _path(order, old, last, step)
        _check_items_recorded(at, unrecorded_items(last) | {one.path for one in await self._store.progress(old.id)})
        kept: list[StepRecord] = []
        for record in sorted(last.values(), key=lambda one: one.seq):
            if _stays(order, record, at, edited=bool(edit)):
                if old.files_removed_at is not None and b'"attachments"' in (record.output or b""):
                    raise NotReplayable(f"the files that step {record.path!r} gave are no longer stored")
                kept.append(msgspec.structs.replace(record, seq=len(kept) + 1))
        if edit:
            id_ = at.rpartition("/")[2].partition("[")[0]
            headers = None if edit.headers is None else dict(edit.headers)
            now = self._clock.now()
            kept.append(edit_entry(len(kept) + 1, at, id_, edit.body, headers, now))
        return tuple(kept)


def _told(new_id: str, step: str | None, edit: Edit, *, discard: bool) -> str:
    """The detail of the entry about a replay."""
    parts = [
        new_id,
        f"from step {step}" if step is not None else "",
        "with another message" if edit else "",
        "discarded" if discard else "",
    ]
    return ", ".join(filter(None, parts))


def _path(order: StepPositions, old: Execution, last: Mapping[str, StepRecord], step: str) -> str:
    """The path of the requested step, which the execution must have reached. A path that names an item means that
    item."""
    static = [without_items(step)] if order.find(step) is not None else order.paths_of(step)
    if not static:
        raise NotReplayable(f"the flow's version has no step {step!r}; its steps are {', '.join(order.paths())}")
    failed_at = None if old.error is None else old.error.step
    paths = [*last, failed_at] if failed_at is not None else [*last]
    reached = sorted({one for path in paths for one in _beginnings(path, static)})
    if step in reached:
        return step
    found = [path for path in reached if _names_no_other_item(step, path)]
    if not found and reached:
        raise NotReplayable(
            f"execution {old.id} didn't reach step {step!r}: it reached {_listed(reached)}. Give the path of a step "
            "that this item reached, or of the block around the items"
        )
    if not found:
        raise NotReplayable(
            f"execution {old.id} didn't reach step {step!r}, or kept nothing of it, as of the items of a foreach that "
            "has many: choose a step before it"
        )
    if len(found) > 1:
        raise NotReplayable(f"step {step!r} ran several times: give the path of one of {_listed(found)}")
    return found[0]


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(paths[:20]) + (", …" if len(paths) > 20 else "")


def _check_items_recorded(at: str, unrecorded: Set[str]) -> None:
    """Raise NotReplayable for a step in an item whose other items aren't recorded, because they would run again."""
    for end in (place for place, character in enumerate(at) if character == "["):
        if at[:end] in unrecorded:
            raise NotReplayable(
                f"the foreach {at[:end]!r} had so many items that the steps of finished items aren't recorded, so they "
                f"would run again: choose {at[:end]!r} or a step before it"
            )


def _names_no_other_item(step: str, path: str) -> bool:
    """Return whether each item that a requested step names is the one in a path that was reached."""
    if "[" not in step:
        return True
    parts = zip(step.split("/"), path.split("/"), strict=False)
    return not step.endswith("]") and all("[" not in one or one == other for one, other in parts)


def _beginnings(path: str, static: Sequence[str]) -> Iterator[str]:
    """The steps on the way to a path that are among the static paths, each with the indexes of its items."""
    parts = path.partition("#")[0].split("/")
    for count in range(1, len(parts) + 1):
        start = "/".join(parts[:count])
        if without_items(start) in static:
            yield start.rpartition("[")[0] if start.endswith("]") else start


def _stays(order: StepPositions, record: StepRecord, at: str, *, edited: bool) -> bool:
    """Return whether an entry is kept, so that its step isn't run again. `edited`: another message reaches the step."""
    if record.path == at and record.use == GATHER and not edited:
        # The other executions of the batch have ended and can't join it again.
        return record.state is StepState.SUCCEEDED
    path = edited_path(record)
    position = order.position(path or record.path, at)
    if position is None:
        return False
    if path is not None:
        return position in (RelativePosition.BEFORE, RelativePosition.AROUND)
    placed = order.find(record.path)
    if placed is None or position in (RelativePosition.AROUND, RelativePosition.AFTER):
        return False
    ran = record.state is not StepState.SKIPPED
    if ran and isinstance(placed.compiled, CompiledAction) and placed.compiled.action.name != record.use:
        return False
    if record.state is StepState.FAILED:
        # A failure beside it is tried again. A failure before it was handled, or it would not have been reached.
        return position is RelativePosition.BEFORE and failure_is_handled(placed)
    return record.state in (StepState.SUCCEEDED, StepState.SKIPPED)


def _edited(envelope: Envelope, edit: Edit, *, exact: bool) -> Envelope:
    """The message with its changes. Raises NotReplayable if they can't be applied."""
    message = envelope.message
    body: Any = message.body
    if edit.body is not None:
        body = decode(edit.body, exact=exact)
    headers = dict(message.headers) if edit.headers is None else dict(edit.headers)
    if edit.by_parts:
        # The library changes values in place, so this is a copy.
        whole = decode(encode({"body": body, "headers": headers}), exact=exact)
        for path, value in edit.paths.items():
            whole = _set(whole, path, to_decimal(value) if exact else value)
        body, headers = whole["body"], whole["headers"]
        if edit.merge is not None:
            body = apply_merge_patch(body, to_decimal(edit.merge) if exact else edit.merge)
        if not isinstance(headers, dict) or not all(isinstance(value, str) for value in headers.values()):
            raise NotReplayable("headers must be an object whose values are texts")
    return msgspec.structs.replace(
        envelope,
        message=Message(body, {name.lower(): value for name, value in headers.items()}, message.attachments),
        body_json=json_to_store(body),
        raw=None,
        exact=exact,
    )


def _set(whole: Any, path: str, value: Any) -> Any:
    if not path.startswith(("$.body", "$.headers", "$['body']", "$['headers']")):
        raise NotReplayable(f"{path}: an edited path must begin with $.body or $.headers")
    try:
        parsed = parse(path)
        if parsed.find(whole):
            return parsed.update(whole, value)
        if any(mark in path for mark in ("*", "..", "?")):
            raise NotReplayable(f"{path}: nothing in the message matches")
        return parsed.update_or_create(whole, value)
    except (JSONPathError, TypeError, KeyError, IndexError, AttributeError, ValueError) as error:
        raise NotReplayable(f"{path}: the message can't be edited there: {error}") from error


def apply_merge_patch(value: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396) to a value; null removes a key."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), item)
    return result


def failure_is_handled(step: WalkedStep) -> bool:
    """Return whether the flow goes on after the step fails, because of its own `on_error` or a block around it."""
    if getattr(step.compiled, "on_error", "fail") == "continue":
        return True
    inner = step
    for block in step.blocks():
        if getattr(block.compiled, "on_error", "fail") == "continue":
            return True
        if (
            isinstance(block.compiled, CompiledTry)
            and block.compiled.catch_steps is not None
            and inner.list_number == 0
        ):
            return True
        inner = block
    return False
