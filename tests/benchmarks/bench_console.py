"""What the console costs with a long history: python -m tests.benchmarks.bench_console [--executions 1000000].

Each page is opened by its URL in Chromium, `--rounds` times. It can be used once its content is there and a key has
been answered; the bound is 1 s for the median. Then the list of executions is scrolled as fast as it goes, and each row
that was in view is compared with the API. At last, many consoles are open while messages arrive.

`--url postgresql://…` takes an empty database instead of SQLite.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from playwright.async_api import Page, async_playwright
from tests.acceptance.server_process import TOKEN, ServerProcess
from tests.benchmarks.large.browsing import Seen, scroll, visit, visits
from tests.benchmarks.large.consoles import cost
from tests.benchmarks.large.rows import History
from tests.benchmarks.large.server import LONG, run_items, start_large
from tests.browser.console import FLAGS, Console
from tests.services import need_chromium

BOUND_MS: Final = 1000.0
SCROLLED_ROWS: Final = 5000
ITEMS: Final = 1000
CONSOLES: Final = 50
RATES: Final = (0, 1, 10)
MOST_CORE: Final = 0.1
SECONDS: Final = 20.0


async def measure_pages(page: Page, server: ServerProcess, history: History, rounds: int) -> bool:
    """Print a table of the pages; return whether each can be used soon enough."""
    failed = server.get("/api/v1/executions?flow_id=flow-0&state=failed&limit=1")[1]["items"][0]["id"]
    fine = True
    print(f"{'page':46}{'shown':>9}{'answered':>10}{'usable':>9} ms{'requests':>10}{'KB':>8}")
    for one in visits(failed, run_items(server, ITEMS), "flow-0", LONG):
        seen = [await visit(page, one) for _ in range(rounds)]
        fine = _print(one.path, seen) and fine
    return fine


def _print(path: str, seen: Sequence[Seen]) -> bool:
    usable = median(one.usable_ms for one in seen)
    last = seen[-1]
    shown, answered = median(one.shown_ms for one in seen), median(one.answered_ms for one in seen)
    print(
        f"{path[:45]:46}{shown:9.0f}{answered:10.0f}{usable:9.0f}   {last.requests:10}{last.bytes / 1000:8.0f}"
        f"{'' if usable <= BOUND_MS else '   too slow'}",
        flush=True,
    )
    return usable <= BOUND_MS


async def measure_scrolling(page: Page, server: ServerProcess) -> bool:
    """Print how soon rows are filled; return whether all that were seen are those of the API."""
    await Console(page).open("/executions", "Executions")
    began = time.perf_counter()
    seen = await scroll(page, SCROLLED_ROWS)
    took = time.perf_counter() - began
    listed = [one["id"][-8:] for one in _first(server, len(seen.names))]
    right = listed == list(seen.names)
    print(
        f"scrolled through {len(seen.names):,} rows in {took:.1f} s; rows in view were filled after at most"
        f" {seen.slowest_ms:.0f} ms; {'none is' if right else 'SOME ARE'} missing or double"
    )
    return right


def _first(server: ServerProcess, count: int) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    cursor = ""
    while len(found) < count:
        page = server.get(f"/api/v1/executions?limit=200{cursor}")[1]
        found += page["items"]
        cursor = f"&cursor={page['next']}"
    return found[:count]


async def measure_browser(server: ServerProcess, history: History, rounds: int) -> bool:
    """Look at the pages in Chromium; return whether all of them are as they should be."""
    program = need_chromium()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, chromium_sandbox=False, args=FLAGS)
        context = await browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 860})
        context.set_default_timeout(60_000)
        console = Console(await context.new_page())
        await console.watch()
        await console.sign_in(TOKEN)
        pages = await measure_pages(console.page, server, history, rounds)
        lists = await measure_scrolling(console.page, server)
        await browser.close()
    for problem in console.problems:
        print(f"the browser reports: {problem}")
    return pages and lists and not console.problems


def measure_consoles(server: ServerProcess) -> bool:
    """Print what open consoles cost, without messages and with some; return whether that is within the bound."""
    fine = True
    print(f"{'messages a second':>18}{'none open':>12}{f'{CONSOLES} open':>12}{'cost':>9} of a core{'requests':>10}")
    for rate in RATES:
        alone, together = (asyncio.run(cost(server, "flow-0", rate, SECONDS, count)) for count in (0, CONSOLES))
        more = together.core - alone.core
        fine = fine and more <= MOST_CORE
        print(
            f"{rate:18}{alone.core:12.1%}{together.core:12.1%}{more:9.1%}{together.requests / SECONDS:17.1f}/s"
            f"{'' if more <= MOST_CORE else '   too much'}",
            flush=True,
        )
    return fine


def main() -> bool:
    """Return whether all bounds are met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--executions", type=int, default=1_000_000)
    parser.add_argument("--flows", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder))
        try:
            began = time.perf_counter()
            history = start_large(server, given.executions, given.flows, given.url)
            print(f"{given.executions:,} executions and {given.flows} flows in {time.perf_counter() - began:.0f} s")
            browser = asyncio.run(measure_browser(server, history, given.rounds))
            return measure_consoles(server) and browser
        finally:
            server.stop()


if __name__ == "__main__":
    raise SystemExit(0 if main() else 1)
