"""The pages of the console in a browser: how soon each can be used, and whether lists scroll without gaps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from playwright.async_api import Page

#: Resolves once the page has its title and its content, and loads no more; with milliseconds since the navigation.
_SHOWN: Final = """([title, content, loading]) => new Promise((resolve) => {
  const isShown = () =>
    document.querySelector("main h1")?.textContent === title &&
    document.querySelector(content) !== null &&
    document.querySelectorAll("main .loading").length <= loading;
  const look = () => (isShown() ? resolve(performance.now()) : requestAnimationFrame(look));
  look();
})"""

#: Notes how long it takes from a key to the list of commands that it opens.
_LISTEN: Final = """() => {
  window.answered = new Promise((resolve) => addEventListener("keydown", ({ timeStamp }) => {
    const look = () => document.querySelector("dialog[open] [role=option]")
      ? resolve(performance.now() - timeStamp) : requestAnimationFrame(look);
    look();
  }, { capture: true, once: true }));
}"""

#: What the page has loaded so far: the number of requests, and the bytes that came over the network.
_LOADED: Final = """() => {
  const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter(({ name }) => !name.endsWith("/events"));
  return [entries.length, entries.reduce((sum, { transferSize }) => sum + transferSize, 0)];
}"""


@dataclass(frozen=True)
class Visit:
    """A page to look at."""

    path: str
    title: str
    content: str
    """A selector of what has to be there."""
    loading: int = 0
    """Parts of it that may come later."""


@dataclass(frozen=True)
class Seen:
    """What a visit took."""

    shown_ms: float
    """From the navigation until the content was there."""
    answered_ms: float
    """From a key until it was answered."""
    requests: int
    bytes: int

    @property
    def usable_ms(self) -> float:
        return self.shown_ms + self.answered_ms


ROW: Final = ".vtable-row, tbody tr"
_CARD: Final = "main .card"


def visits(execution_id: str, long_id: str, flow_id: str, long_flow_id: str) -> Sequence[Visit]:
    """Each page, the list of executions with several filters, and those that have much to show."""
    flow, long_flow = f"/flows/{flow_id}", f"/flows/{long_flow_id}"
    return (
        Visit("/", "Overview", ".charts canvas"),
        Visit("/?range=30d", "Overview", ".charts canvas"),
        Visit(f"/?flow={flow_id}&range=7d", "Overview", ".charts canvas"),
        Visit("/flows", "Flows", ROW),
        Visit(flow, flow_id, "[role=tree], svg"),
        Visit(long_flow, long_flow_id, "[role=tree], svg"),
        Visit("/executions", "Executions", ROW),
        Visit("/executions?state=failed", "Executions", ROW),
        Visit("/executions?state=waiting", "Executions", ROW),
        Visit(f"/executions?flow_id={flow_id}", "Executions", ROW),
        Visit(f"/executions?flow_id={flow_id}&state=failed", "Executions", ROW),
        Visit("/executions?error_code=http.404", "Executions", ROW),
        Visit("/executions?since=24h", "Executions", ROW),
        Visit("/executions?text=PAY-1", "Executions", ROW),
        Visit(f"/executions/{execution_id}", f"Execution {execution_id[-8:]}", "[role=treeitem]"),
        Visit(f"/executions/{long_id}", f"Execution {long_id[-8:]}", "[role=treeitem]"),
        Visit("/dead-letters", "Dead letters", _CARD),
        Visit("/credentials", "Credentials", _CARD),
        Visit("/components", "Components", _CARD),
        Visit("/components/action/http.request", "http.request", _CARD),
        Visit("/plugins", "Plugins", ROW),
        Visit("/deployments", "Deployments", ROW),
        Visit("/audit", "Audit", ROW),
        Visit("/tokens", "Tokens", _CARD),
        Visit("/nodes", "Nodes", ROW),
        Visit("/storage", "Storage", "main .facts", loading=1),
        Visit("/settings", "Settings", ROW),
    )


async def visit(page: Page, one: Visit) -> Seen:
    """Open a page by its URL, and open the list of commands as soon as it has its content."""
    await page.goto(one.path, wait_until="commit")
    shown = await page.evaluate(_SHOWN, [one.title, one.content, one.loading])
    requests, size = await page.evaluate(_LOADED)
    await page.evaluate(_LISTEN)
    await page.keyboard.press("Control+k")
    return Seen(shown, await page.evaluate("window.answered"), requests, size)


#: Scrolls as fast as the wheel of a mouse can, and notes after each move how long the rows in view took to be filled.
#: Rows are those of the list; in view are the places of its area, filled or not.
_SCROLL: Final = """async ([rows, step]) => {
  const scroller = document.querySelector("[data-scroller]");
  const frame = () => new Promise(requestAnimationFrame);
  const seen = new Map();
  let slowest = 0;
  const isFilled = () => {
    const area = scroller.getBoundingClientRect();
    const body = document.querySelector(".vtable-body").getBoundingClientRect();
    const shown = [...document.querySelectorAll(".vtable-row")];
    for (const row of shown) {
      const at = row.getAttribute("aria-rowindex");
      const name = row.querySelector(".mono").textContent;
      if (seen.has(at) && seen.get(at) !== name) throw new Error(`row ${at} was ${seen.get(at)}, and is ${name}`);
      seen.set(at, name);
    }
    const top = Math.max(area.top, body.top), bottom = Math.min(area.bottom, body.bottom);
    const boxes = shown.map((row) => row.getBoundingClientRect()).sort((one, other) => one.top - other.top);
    let covered = top;
    for (const box of boxes) if (box.top <= covered + 1) covered = Math.max(covered, box.bottom);
    // At the end of what has been loaded, the next page has to come.
    const wanted = document.querySelector(".vtable-foot") ? area.bottom - 1 : bottom - 1;
    return covered >= wanted;
  };
  if (!isFilled()) throw new Error("the list has empty places before it is scrolled");
  while (seen.size < rows) {
    const began = performance.now(), before = scroller.scrollTop;
    scroller.scrollBy(0, step);
    await frame();
    while (!isFilled()) {
      if (performance.now() - began > 10_000) throw new Error("the rows in view stay empty");
      await frame();
    }
    slowest = Math.max(slowest, performance.now() - began);
    if (scroller.scrollTop === before && !document.querySelector(".vtable-foot")) break;
  }
  const inOrder = [...seen].sort(([one], [other]) => Number(one) - Number(other));
  const [last] = inOrder.at(-1);
  if (Number(last) - 1 !== inOrder.length) throw new Error(`${inOrder.length} rows were seen up to row ${last}`);
  return { names: inOrder.map(([, name]) => name), slowest };
}"""


@dataclass(frozen=True)
class Scrolled:
    """What was seen of a list."""

    names: Sequence[str]
    """Of each row, in order."""
    slowest_ms: float
    """The longest time from a move until all rows in view were filled."""


async def scroll(page: Page, rows: int, step: int = 700) -> Scrolled:
    """Scroll through the list of executions, which is open, until so many rows were in view."""
    found: dict[str, Any] = await page.evaluate(_SCROLL, [rows, step])
    return Scrolled(found["names"], found["slowest"])
