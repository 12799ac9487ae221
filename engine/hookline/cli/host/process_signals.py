"""The effects of signals on a server: SIGHUP reloads the flows and the settings that can change, others stop it."""

import asyncio
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from hookline.kernel import logs
from hookline.kernel.errors import HooklineError
from hookline.server_settings import Settings

if TYPE_CHECKING:
    from hookline.engine import Engine

RELOADABLE: Final = frozenset({"log_level"})
"""The settings that take effect without a restart."""


def ignore_hangups() -> None:
    """Let SIGHUP do nothing while a server starts or ends: it asks a running server to reload, and must end none."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


class Reloading:
    """Loads the settings and the flows of one server again."""

    def __init__(self, engine: "Engine", settings: Settings, load: Callable[[], Settings] | None) -> None:
        """`load` loads the settings as the server's start did; None if it has no settings of its own."""
        self._engine = engine
        self._settings = settings
        self._load = load
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Reload soon. A call while a reload is in progress causes another one after it."""
        self._asked.set()

    async def run(self) -> None:
        """Reload each time that this is asked for, until cancelled."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            try:
                self._reload_settings()
                await self._engine.version_switch.refresh()
            except (HooklineError, OSError) as error:
                problems = [str(problem) for problem in getattr(error, "problems", ())]
                self._engine.log.error(
                    "reloading failed; what was loaded before stays", error=str(error), problems=problems
                )
            except Exception:
                self._engine.log.error("defect while reloading", exc_info=True)

    def _reload_settings(self) -> None:
        if self._load is None:
            return
        new = self._load()
        changed = [name for name in type(new).model_fields if getattr(new, name) != getattr(self._settings, name)]
        if "log_level" in changed:
            logs.set_level(new.log_level)
        restart = sorted(set(changed) - RELOADABLE)
        self._settings = self._settings.model_copy(update={name: getattr(new, name) for name in RELOADABLE})
        self._engine.log.warning(
            "reloaded", changed=sorted(set(changed) & RELOADABLE), **({"need_restart": restart} if restart else {})
        )


class Stopper:
    """The effect of signals on a server."""

    def __init__(self, engine: "Engine", shutdown: asyncio.Event) -> None:
        self._engine = engine
        self._shutdown = shutdown
        self._main = asyncio.current_task()

    def stop(self, name: str) -> None:
        """Begin to stop, or stop at once if that has begun."""
        if self._shutdown.is_set():
            self.at_once(name)
        else:
            self.begin(name)

    def begin(self, name: str) -> None:
        """Begin to stop, unless that has begun."""
        if not self._shutdown.is_set():
            self._shutdown.set()
            self._engine.log.info("stopping", signal=name, grace=self._engine.options.grace)

    def drain(self) -> None:
        """Begin to stop, since an operator asked for it, unless that has begun."""
        if not self._shutdown.is_set():
            self._shutdown.set()
            self._engine.log.info("stopping: an operator asked for it", grace=self._engine.options.grace)

    def at_once(self, name: str) -> None:
        """Stop at once."""
        if self._main is not None:
            self._main.cancel()
        self._engine.log.warning("stopping at once", signal=name)

    def orphaned(self) -> None:
        """Begin to stop, since the parent of this worker has gone."""
        self._engine.log.warning("the process that started this worker is gone; stopping")
        self._shutdown.set()
