"""Which patterns of a schema may take long for each character: those whose automaton has too many states."""

import pytest

from hookline.flows.schemas.pattern_states import microseconds_of

FEW = microseconds_of("^a$")
IBAN = "[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}"
UUID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "x",
        "^x*$",
        f"^{IBAN}$",
        f"^{UUID}$",
        UUID,
        f"^({IBAN}|{UUID})$",
        "[0-9]{13}",
        r"^\d{8,14}$",
        "^[A-Z0-9_-]{1,64}$",
        r"^\p{L}[\p{L} '-]{0,80}$",
        r"^\+?[1-9][0-9]{6,14}$",
        r"^[^@]+@[^@]+\.[a-z]{2,63}$",
        r"^[^@\s]+@[a-z0-9.-]+\.[a-z]{2,63}$",
        r"^https?://[^/]{1,255}(/.*)?$",
        r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$",
        "^(a?){50}a{50}$",
        "^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])(?:\\.(?!$)|$)){4}$",
        r"^[a-z0-9]+(-[a-z0-9]+){0,30}$",
        r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?$",
        "(?:^){1000000}a",
        "(?i)^[a-z]{1,40}$",
    ],
)
def test_an_ordinary_pattern_costs_one_step_for_each_character(pattern: str) -> None:
    assert microseconds_of(pattern) == FEW


@pytest.mark.parametrize("pattern", ["^.{1,1000}$", r"^[\s\S]{0,4000}$", "^[a-z]{1,20000}$", "[ab].{9}c"])
def test_a_pattern_with_many_small_states_costs_a_little_more(pattern: str) -> None:
    assert FEW < microseconds_of(pattern) < 100 * FEW


@pytest.mark.parametrize(
    "pattern",
    [
        "[A-Z].{40}[0-9]",
        "[A-Z].{15}[0-9]",
        "(?i)[a-f][a-z]{40}[0-9]",
        r"^.*[A-Z]\w{20}[0-9]",
        "(?m)^[A-Z]*A[A-Z]{40}x",
        "^(a|b)*a(a|b){20}$",
        "[A-Z](.{9}|[ab]{11}){9}[x-z]",
        "[A-Z]" + "." * 30 + "[0-9]",
        r"[A-Z](?>.{40})\z",
        "a.{100000}b",
        r"[\s\S][^a]([0-9]{0,40}[0-9]*\d*|\d{64}a[^a][^a]){200}",
        r"\x{41}.{40}[0-9]",
    ],
)
def test_a_pattern_with_too_many_states_costs_a_step_for_each_place_where_a_match_may_have_begun(pattern: str) -> None:
    assert microseconds_of(pattern) > 100 * FEW


def test_the_cost_of_a_pattern_with_many_states_grows_with_what_it_counts() -> None:
    assert (
        microseconds_of("[A-Z].{40}[0-9]") < microseconds_of("[A-Z].{400}[0-9]") < microseconds_of("[A-Z].{4000}[0-9]")
    )
