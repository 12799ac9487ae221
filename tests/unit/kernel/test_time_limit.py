"""What may never return is called for a bounded time, and says where it was."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from hookline.api import HttpClient
from hookline.kernel.time_limit import NoKeyboard, TooLong, bounded
from hookline.plugin_host.facade import LentBlobs, LentClient, LentResources, NotYours
from hookline.sdk.context import Resources
from hookline.storage.blobs import Blobs
from hookline.testing.eventually import assert_eventually


def test_what_it_gives_and_raises_comes_through() -> None:
    assert bounded(lambda: 7, 5) == 7
    with pytest.raises(ZeroDivisionError):
        bounded(lambda: 1 // 0, 5)


def test_a_keyboards_interrupt_that_it_raises_is_not_one() -> None:
    def interrupts() -> None:
        raise KeyboardInterrupt

    with pytest.raises(NoKeyboard):
        bounded(interrupts, 5)


async def test_what_takes_too_long_is_named_with_its_line_and_abandoned() -> None:
    running, end = threading.Event(), threading.Event()

    def busy() -> None:
        running.set()
        while not end.is_set():
            pass

    line = r"(while not end.is_set\(\):|pass)"
    with pytest.raises(
        TooLong, match=rf"longer than 0.1 s; it was at .*(test_bounded|threading).py, line \d+: {line}?"
    ):
        bounded(busy, 0.1)
    assert running.is_set()
    (thread,) = [one for one in threading.enumerate() if one.name == "hookline bounded"]
    assert thread.daemon, "the process doesn't wait for it"
    end.set()
    await assert_eventually(lambda: not thread.is_alive())


@pytest.mark.parametrize(
    ("lent", "port"), [(LentClient, HttpClient), (LentBlobs, Blobs), (LentResources, Resources)], ids=str
)
async def test_what_plugins_are_lent_has_all_that_the_port_has_and_stays_open(
    lent: Callable[[Any], Any], port: type
) -> None:
    made = lent(None)
    missing = [name for name in vars(port) if not name.startswith("_") and not hasattr(made, name)]
    assert missing == []
    with pytest.raises(NotYours, match="is the engine's"):
        await made.close()
