"""`python tests/chaos`: run, judge, and exit with 1 if the judge finds a violation."""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[0] = str(ROOT)  # in place of this folder, whose files are modules of `tests.chaos`

from tests.chaos.run import Options, run  # noqa: E402 - the path comes first


def main() -> int:
    """Return the exit code of the judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="decides the faults and the messages")
    parser.add_argument("--minutes", type=float, default=10, help="the time in which faults come")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--queue", choices=("none", "nats"), default="none")
    parser.add_argument("--server", choices=("hypercorn", "uvicorn"), default="hypercorn")
    parser.add_argument("--lines", type=int, default=8, help="order keys")
    parser.add_argument("--rate", type=float, default=4.0, help="messages a second without an order key")
    parser.add_argument("--gap", type=float, default=3.0, help="the mean seconds between two faults")
    parser.add_argument("--without", action="append", default=[], metavar="KIND", help="a kind of fault to leave out")
    parser.add_argument("--folder", type=Path, help="an empty folder for logs and histories; by default a new one")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="hookline-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    # So that everything that was started is stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = Options(
        seed=given.seed,
        seconds=60 * given.minutes,
        nodes=given.nodes,
        queue=given.queue,
        server=given.server,
        lines=given.lines,
        rate=given.rate,
        gap=given.gap,
        without=tuple(given.without),
    )
    print(f"seed {options.seed}; the faults:")
    for fault in options.faults():
        print(fault)
    run(options, folder, lambda text: print(text, flush=True))
    return subprocess.run([sys.executable, "-m", "tests.chaos.judge", str(folder / "history")], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
