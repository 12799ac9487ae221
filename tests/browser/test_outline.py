"""The outline of a page changes with its structure, and with nothing else."""

import pytest

from tests.browser.outline import outline

SNAPSHOT = """\
- navigation "Main":
  - list:
    - listitem:
      - link "Overview"
- main:
  - heading "Overview" [level=1]
  - region "Needs attention":
    - list:
      - listitem:
        - link "3 executions of flow 'payments' failed":
          - /url: /dead-letters?cause=payments%3A1
        - time: 4 minutes ago
  - img "Throughput: 1,024 messages"
  - 'button "Show the path of 0d3f7a21: failed" [pressed]'
  - table "Executions":
    - row "State Flow":
      - columnheader "State"
    - row "Succeeded orders 10:04:05":
      - cell "orders"
"""


def test_figures_ids_and_rows_are_left_out() -> None:
    assert outline(SNAPSHOT) == (
        "navigation: Main\n"
        "link: Overview\n"
        "heading: Overview\n"
        "region: Needs attention\n"
        "img: Throughput: 0 messages\n"
        "button: Show the path of …: failed\n"
        "table: Executions\n"
        "columnheader: State\n"
    )


@pytest.mark.parametrize(
    ("before", "after"), [("1,024", "7"), ("0d3f7a21", "9e1b55c0"), ("3 executions", "1 credential")]
)
def test_it_is_the_same_for_other_figures_ids_and_rows(before: str, after: str) -> None:
    assert outline(SNAPSHOT.replace(before, after)) == outline(SNAPSHOT)


@pytest.mark.parametrize(
    ("before", "after"),
    [("button", "generic"), ('"Needs attention"', '"Attention"'), ('columnheader "State"', 'columnheader "Flow"')],
)
def test_what_is_gone_or_has_another_name_is_a_change(before: str, after: str) -> None:
    assert outline(SNAPSHOT.replace(before, after)) != outline(SNAPSHOT)
