"""Triggers that look for themselves: `@acme.poll(every="1m")` on an async function.

The function is given a `PollContext`, the cursor (how far it got last time, None at first) and the settings. It gives
what is new as a `Polled`: items, and the cursor from which to go on. The engine commits both together, so that no item
is lost, and none comes twice, whenever the process dies.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from hookline.kernel.merge_logger import Log
from hookline.kernel.safe_validation import judged
from hookline.model.message import Attachment
from hookline.model.sources import PollSettings
from hookline.sdk.migrations import Upgrade
from hookline.sdk.oauth2 import Tokens, TokenUser
from hookline.sdk.triggers import OwnTrigger

if TYPE_CHECKING:
    from hookline.sdk.http import HttpClient
    from hookline.sdk.merge_resources import Resources
    from hookline.storage.blobs import Blobs

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class PollContext(TokenUser, Generic[C]):
    """What a poll is given besides its cursor and its settings."""

    credential: C
    """The trigger's credential, an instance of the connector's credential type; None where the flow names none."""
    http: "HttpClient"
    blobs: "Blobs"
    """Where attachments' bytes are."""
    log: Log
    resources: "Resources"
    """What the plugin keeps open."""
    flow_id: str
    now: datetime
    """When this poll began, in UTC."""
    credential_type: str | None = None
    files_root: Path | None = None
    """The folder under which files may be read; None where the server allows none."""
    exact: bool = False
    """The flow's numbers are exact: fractions in bodies should be Decimals."""
    tokens: Tokens | None = None
    """What `access_token` asks."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something new: each becomes a message of its own."""

    id: str
    """One that comes with the same id again within the flow's `dedupe_window` starts nothing."""
    body: Any
    """What an action may return."""
    headers: Mapping[str, str] = field(default_factory=dict)
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class Polled:
    """What a poll gives."""

    items: Sequence[Item] = ()
    """At most 1000, in the order in which they are to be accepted."""
    cursor: Any = None
    """A JSON value, of at most 4 MB: where the next poll goes on."""
    more: bool = False
    """There are more already: the next poll follows at once."""


class Identity:
    """Marks a setting of a poll that says what is looked at: where a flow changes it, the cursor begins anew.

    As in `folder: Annotated[str, Identity()]`.
    """


@dataclass(frozen=True, slots=True)
class PollTrigger(OwnTrigger):
    """Started by what is found when the engine looks, again and again."""

    settings: type[PollSettings] = PollSettings
    run: Callable[..., Awaitable[Polled]] | None = None
    leading: tuple[str, ...] = ()
    """Which of `ctx` and `cursor` it takes."""
    identity: frozenset[str] = frozenset()
    """Parameters marked `Identity`."""
    version: int | None = None
    """Of its settings; None where there never was another."""
    upgrade: Upgrade | None = None
    """From these settings to the newest, where these are older: then `parameters` are those of the newest."""
    newest_settings: type[PollSettings] | None = None
    """The model of the newest settings, where these are older."""

    def validated(self, settings: Any) -> BaseModel:
        """A flow's settings, as `arguments` takes them. Raises ValidationError, and StepError."""
        if self.upgrade is None or self.newest_settings is None:
            return judged(self.settings, settings)
        judged(self.settings, settings)
        every_poll = {key: value for key, value in settings.items() if key in PollSettings.model_fields}
        own = {key: value for key, value in settings.items() if key not in every_poll}
        return judged(self.newest_settings, {**every_poll, **self.upgrade.apply(own)})
