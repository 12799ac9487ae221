"""`python -m tests.chaos.judge FOLDER`: judge the history of a run; exit with 1 if there is a violation."""

import argparse
import sys
from pathlib import Path

from tests.chaos.judge.evidence import load
from tests.chaos.judge.verdict import report, violations


def main() -> int:
    """Return 1 if there is a violation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder with the history")
    evidence = load(parser.parse_args().folder)
    found = violations(evidence)
    print(report(evidence, found))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
