"""Running one action or one poll of a plugin, without an engine."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hookline.connector import Connector, Context, Reply
from hookline.errors import ConfigError, StepError
from hookline.flow_values import check_key, packed
from hookline.flows.types.promise import broken
from hookline.http import HttpClient
from hookline.ids import idempotency_key
from hookline.jsontypes import JsonValue
from hookline.model.message import Message
from hookline.model.secret_values import secret_values
from hookline.nearest import did_you_mean
from hookline.poll import Item, PollContext, Polled
from hookline.registry import Registry
from hookline.runtime.resources import EngineResources
from hookline.runtime.results import normal, to_json
from hookline.testing.clock import ManualClock
from hookline.testing.fake_http import FakeHttp


class MemoryState:
    """A `FlowState` in memory."""

    def __init__(self) -> None:
        self.values: dict[str, JsonValue] = {}

    async def get(self, key: str) -> JsonValue:
        """See `FlowState`."""
        return self.values.get(check_key(key))

    async def set(self, key: str, value: JsonValue) -> None:
        """See `FlowState`."""
        check_key(key)
        packed(key, value)
        self.values[key] = value


class ListLog:
    """A `Log` that keeps what is logged: level, event, fields."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def debug(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("debug", event, fields))

    def info(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("info", event, fields))

    def warning(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("warning", event, fields))

    def error(self, event: str, **fields: Any) -> None:
        """See `Log`."""
        self.lines.append(("error", event, fields))


@dataclass(frozen=True, slots=True)
class Ran:
    """What an action gave, as later steps see it."""

    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    attachments: tuple[Any, ...] = ()
    signal: Any = None
    """What it gave in place of a result, such as `PASS`, a `Pause` or a `Count`."""


class Harness:
    """Runs the actions and polls of installed plugins, with parts that a test can look into."""

    def __init__(self, registry: Registry, http: HttpClient | None = None) -> None:
        """`registry`: what `discover` gives. `http`: a `FakeHttp` by default."""
        self.registry = registry
        self.http = http if http is not None else FakeHttp()
        self.clock = ManualClock()
        self.state = MemoryState()
        self.log = ListLog()
        self.resources = EngineResources()
        self._folder = tempfile.TemporaryDirectory(prefix="hookline-harness-")
        self.files_root = Path(self._folder.name) / "files"
        """The folder of actions that read and write files."""
        self.files_root.mkdir()
        factory = registry.blob_stores.get("file")
        if factory is None:
            raise ConfigError("no plugin gives a blob store for file: URLs; `hookline plugins` shows which work")
        self.blobs = factory(f"file://{self._folder.name}/blobs", clock=self.clock)

    async def run_action(
        self,
        name: str,
        /,
        *,
        credential: Mapping[str, Any] | BaseModel | None = None,
        message: Message | None = None,
        with_: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Ran:
        """Run an action with settings as a step would give them; `with_` has those named like a parameter here.

        Raises StepError, and whatever else the action raises as it is.
        """
        action = self.registry.actions.get(name)
        if action is None:
            raise ConfigError(
                f"there is no action {name!r} ({did_you_mean(name, self.registry.actions, 'see `hookline plugins`')})"
            )
        message = message if message is not None else Message(None, {})
        arguments = action.arguments(action.settings.model_validate({**settings, **(with_ or {})}))
        if action.takes_context:
            value = self._credential(action.credential, credential)
            arguments["ctx"] = Context(
                credential=value,
                credential_type=action.credential_types[0] if value is not None and action.credential_types else None,
                message=message,
                http=self.http,
                blobs=self.blobs,
                log=self.log,
                execution_id="execution",
                step_id="step",
                attempt=1,
                idempotency_key=idempotency_key("execution", "step"),
                state=self.state,
                resources=self.resources,
                files_root=self.files_root,
            )
        returned = action.run(**arguments)
        if hasattr(returned, "__aiter__"):
            return Ran([to_json(item) async for item in returned])
        result: Any = await returned
        if (wrong := broken(action.returns, result)) is not None:
            raise TypeError(f"{name} doesn't give what it says: {wrong}")
        if hasattr(result, "__aiter__"):
            return Ran([to_json(item) async for item in result])
        if isinstance(result, Reply) and hasattr(result.body, "__aiter__"):
            result = replace(result, body=[item async for item in result.body])
        given = normal(result)
        if not isinstance(given, Reply):
            return Ran(signal=given)
        kept = message.attachments if given.attachments is None else given.attachments
        return Ran(given.body, given.headers, given.extra, tuple(kept))

    async def run_poll(
        self,
        name: str,
        /,
        *,
        cursor: Any = None,
        credential: Mapping[str, Any] | BaseModel | None = None,
        **settings: Any,
    ) -> Polled:
        """Run a poll once; gives its items, and the cursor to give it the next time. Raises as an action does."""
        trigger = self.registry.triggers.get(name)
        run, leading = getattr(trigger, "run", None), getattr(trigger, "leading", ())
        if trigger is None or run is None:
            raise ConfigError(f"there is no poll {name!r} ({did_you_mean(name, self.registry.triggers)})")
        poll: Any = trigger
        arguments = poll.arguments(poll.settings.model_validate(settings))
        if "ctx" in leading:
            value = self._credential(poll.credential, credential)
            arguments["ctx"] = PollContext(
                credential=value,
                http=self.http,
                blobs=self.blobs,
                log=self.log,
                resources=self.resources,
                files_root=self.files_root,
                flow_id="flow",
                now=self.clock.now(),
            )
        if "cursor" in leading:
            arguments["cursor"] = to_json(cursor)
        polled = await run(**arguments)
        if not isinstance(polled, Polled):
            raise StepError(f"{name} gave {type(polled).__name__}, and no Polled", code="connector.defect")
        items = [Item(one.id, to_json(one.body), one.headers, one.attachments) for one in polled.items]
        return Polled(items, to_json(polled.cursor, "cursor"), polled.more)

    def _credential(
        self, model: type[BaseModel] | None, given: Mapping[str, Any] | BaseModel | None
    ) -> BaseModel | None:
        value = model.model_validate(given) if model is not None and isinstance(given, Mapping) else given
        if value is not None and isinstance(self.http, FakeHttp):
            self.http.hide(secret_values(value))
        return value if isinstance(value, BaseModel) else None

    async def close(self) -> None:
        """Close what was opened."""
        await self.resources.close()
        await self.blobs.close()
        self._folder.cleanup()


def plugin_of(connector: Connector) -> object:
    """A plugin that gives one connector, for `discover(extra_plugins=[…])`."""
    from hookline.hookspecs import hookimpl

    class Plugin:
        @hookimpl
        def register_connectors(self) -> list[Connector]:
            return [connector]

    return Plugin()
