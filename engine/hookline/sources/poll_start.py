"""The start of a poll: for the first time, or anew because the settings that select what it polls have changed."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.kernel.json import canonical, encode
from hookline.model.sources import PollSettings
from hookline.plugin_host.result_conversion import to_json
from hookline.sdk.poll import PollTrigger
from hookline.sdk.settings.function_signatures import setting_name
from hookline.sdk.settings.setting_upgrades import plain_name
from hookline.sources.source import SourceProgress, decode_progress
from hookline.storage.change_declarations import RecordAudit, SetCursor
from hookline.storage.store import Store


class _Answer(msgspec.Struct, frozen=True):
    """An operator's answer for a poll that is going to start anew."""

    identity: str
    existing: bool


@dataclass(frozen=True, slots=True)
class PollRestart:
    """A poll that starts anew once a version of its flow serves."""

    trigger: str
    identity: str
    changed: tuple[str, ...]
    """The settings because of which it starts anew; none if the trigger itself is another one."""
    existing: bool
    """True if the items that exist then start executions."""
    answered: bool
    """True if an operator has said so; otherwise the trigger's settings do."""


def poll_identity(trigger: PollTrigger, settings: PollSettings) -> str:
    """A hash of the settings that select what is polled."""
    return hashlib.sha256(canonical(to_json(_selecting(trigger, settings)))).hexdigest()[:16]


def _selecting(trigger: PollTrigger, settings: PollSettings) -> dict[str, Any]:
    return {
        setting_name(parameter): value
        for parameter, value in trigger.arguments(settings).items()
        if parameter in trigger.resets_cursor
    }


async def poll_restart(store: Store, flow: CompiledFlow, serving: CompiledFlow | None) -> PollRestart | None:
    """Return how the poll of a version would start anew; None if it has no poll, or one that begins or goes on.

    `serving`: the version that serves now. Raises StoreError.
    """
    trigger, settings = flow.trigger.poll, flow.trigger.settings
    stored = await store.cursor(flow.id)
    if stored is None or trigger is None or not isinstance(settings, PollSettings):
        return None
    progress, identity = decode_progress(stored), poll_identity(trigger, settings)
    same_trigger = plain_name(progress.trigger) == plain_name(trigger.name)
    if progress.identity == identity if same_trigger else bytes(progress.cursor) == b"null":
        return None
    answer = await _answer(store, flow.id, identity)
    existing = settings.existing if answer is None else answer
    changed = _changed(flow, serving) if same_trigger else ()
    return PollRestart(trigger.name, identity, changed, existing, answer is not None)


def _changed(flow: CompiledFlow, serving: CompiledFlow | None) -> tuple[str, ...]:
    """The settings in which two versions select other items; all of those settings if that can't be said."""
    trigger, settings = flow.trigger.poll, flow.trigger.settings
    assert trigger is not None  # noqa: S101 - the caller has asked
    assert isinstance(settings, PollSettings)  # noqa: S101 - a poll has no other settings
    new, old = to_json(_selecting(trigger, settings)), {}
    if serving is not None and serving.trigger.poll is not None and isinstance(serving.trigger.settings, PollSettings):
        old = to_json(_selecting(serving.trigger.poll, serving.trigger.settings))
    changed = tuple(sorted(name for name in new if name not in old or old[name] != new[name]))
    return changed or tuple(sorted(new))


async def answer_restart(
    store: Store, flow_id: str, restart: PollRestart, at: datetime, record: RecordAudit, *, existing: bool
) -> None:
    """Keep an operator's answer for when the poll starts anew, and record who gave it. Raises StoreError."""
    answer = _Answer(restart.identity, existing)
    await store.commit((SetCursor(_answers(flow_id), encode(answer), at), record))


async def begin_poll(
    store: Store, flow: CompiledFlow, identity: str, *, existing: bool, at: datetime
) -> tuple[SourceProgress, PollRestart | None]:
    """Begin a poll, new or anew; return its progress, and how it starts anew. Raises StoreError.

    `existing`: the trigger's setting, which an operator's answer for this start replaces.
    """
    assert flow.trigger.poll is not None  # noqa: S101 - the caller runs it
    restart = await poll_restart(store, flow, None)
    answer = await _answer(store, flow.id, identity)
    takes = existing if answer is None else answer
    progress = SourceProgress(flow.trigger.poll.name, identity, at, baseline=not takes)
    changes = [SetCursor(flow.id, encode(progress), at)]
    if answer is not None:
        changes.append(SetCursor(_answers(flow.id), b"null", at))
    await store.commit(changes)
    return progress, restart


_decode_answer: Final = msgspec.json.Decoder(_Answer | None).decode


async def _answer(store: Store, flow_id: str, identity: str) -> bool | None:
    stored = await store.cursor(_answers(flow_id))
    answer = None if stored is None else _decode_answer(stored)
    return answer.existing if answer is not None and answer.identity == identity else None


def _answers(flow_id: str) -> str:
    """The place of the answer among the cursors. No id of a flow has this character."""
    return f"{flow_id}#existing"
