"""The place of blocking code, as another thread sees it."""

from types import SimpleNamespace
from typing import Any

from hookline.plugin_host.loop_monitor import _place


def test_a_frame_between_two_lines_is_at_its_function() -> None:
    code = test_a_frame_between_two_lines_is_at_its_function.__code__
    frame: Any = SimpleNamespace(f_code=code, f_lineno=None)
    place, line = _place(frame)
    assert place.startswith(f"{__file__}:{code.co_firstlineno} in ")
    assert line.startswith("def test_a_frame")
