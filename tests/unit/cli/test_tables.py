"""Tables fit a terminal, whatever they have in them."""

import os
from collections.abc import Callable, Sequence

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from hookline.cli import table as tables
from hookline.cli.printable_text import printable
from hookline.cli.table import shortened, table
from hookline.kernel.ids import Ids
from hookline.testing.clock import ManualClock

IDS = Ids(ManualClock())
COLUMNS = ("id", "flow", "state", "outcome", "accepted", "cause")


class _Terminal:
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_width(columns: int) -> None:
        monkeypatch.setattr(tables.sys, "stdout", _Terminal())
        monkeypatch.setattr(
            tables.shutil, "get_terminal_size", lambda fallback=(80, 24): os.terminal_size((columns, 24))
        )

    return set_width


def row(flow: str = "orders", cause: str = "") -> Sequence[str]:
    return (IDS.new(), flow, "failed", "timed_out", "2026-01-31T08:00:00.123456Z", cause)


def listed(rows: Sequence[Sequence[str]]) -> list[str]:
    return click.unstyle(table(COLUMNS, rows, texts=("cause",), ids=("id",))).splitlines()


@pytest.mark.parametrize("columns", [40, 80, 100, 200])
@pytest.mark.parametrize(
    "flow", ["xyz", "paypal-to-accounting", "a-flow-with-a-name-of-sixty-characters-as-some-people-write"]
)
def test_no_id_name_or_time_is_broken_and_no_text_is_lost(
    terminal: Callable[[int], None], columns: int, flow: str
) -> None:
    terminal(columns)
    rows = [
        row(flow, "http.503: the service of the warehouse is down for the whole of the night " * 2) for _ in range(3)
    ]
    lines = listed(rows)
    shown = "\n".join(lines)
    for one in rows:
        assert one[0][-8:] in shown
    for whole in (flow, "timed_out", "2026-01-31T08:00:00Z"):
        assert sum(whole in line for line in lines) == 3
    assert " ".join(shown.split()).count("night") == 6
    assert [line for line in lines if len(line) > columns and flow not in line] == []


def test_a_text_that_has_no_room_is_below_its_row(terminal: Callable[[int], None]) -> None:
    terminal(80)
    lines = listed([row("paypal-to-accounting", "http.503: down"), row("paypal-to-accounting")])
    assert [line.split()[-1] for line in lines] == ["accepted", "2026-01-31T08:00:00Z", "down", "2026-01-31T08:00:00Z"]
    assert lines[2] == "    http.503: down"


def test_an_empty_list_says_so_in_a_terminal_and_is_empty_for_a_program(terminal: Callable[[int], None]) -> None:
    assert table(("id",), []) == "id"
    terminal(80)
    assert click.unstyle(table(("id",), [])).splitlines() == ["id", "(none)"]


def test_piped_output_has_full_ids_and_times_on_one_line() -> None:
    one = row("orders", "x" * 300)
    assert table(COLUMNS, [one], texts=("cause",), ids=("id",)).splitlines()[1].split() == list(one)


def test_ids_of_one_time_are_shortened_to_ends_that_tell_them_apart() -> None:
    made = [IDS.new() for _ in range(100)]
    short = shortened(made)
    assert len(set(short)) == 100
    assert {len(one) for one in short} == {8}
    assert shortened(["a" * 30 + "12345678", "b" * 30 + "12345678"]) == ["a12345678", "b12345678"]
    assert shortened(["x", "x"]) == ["x", "x"]


def test_what_a_sender_wrote_can_not_control_the_terminal() -> None:
    assert printable("a\x1b[2J\nb\x9b") == "a\\x1b[2J\\x0ab\\x9b"
    assert "\x1b" not in table(("error",), [("\x1b[31m",)])


@settings(max_examples=60)
@given(text=st.text(max_size=80), width=st.integers(3, 30))
def test_folding_breaks_lines_at_the_width_and_loses_no_character(text: str, width: int) -> None:
    text = printable(text)
    lines = tables._folded(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(cell_len(line) <= width for line in lines)
