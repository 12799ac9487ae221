"""Flows of all blocks with their canonical texts, by which the console's editor proves that it writes what
`hookline fmt` writes.

`python -m tests.unit.flows.authoring.formatted_flows` writes the file.
"""

import json
import random
import re
from pathlib import Path
from typing import Any, Final

from hookline.flows.authoring.formatter import format_flow
from hookline.flows.documents.read import read

FILE: Final = Path(__file__).parents[4] / "plugins/hookline_console/web/src/document/formatted_flows.json"
_COUNT: Final = 50
_WORDS: Final = (
    "order",
    "a longer text of several words",
    "grün",
    "😀",
    'a "quoted" one',
    "line\nbreak",
    "\u2028",
    "/",
)
#: As they are written: the digits of a number are part of the text.
_NUMBERS: Final = (
    *("0", "-7", "1.50", "1e5", "-0.0", "12345678901234567890", "0.12345678901234567890123", "1E-7", "1e16"),
    *("0.00001", "123456789012345680000.0", "1e22", "1.25e-12"),
)


class _Maker:
    """Makes flows from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._count = 0

    def flow(self) -> dict[str, Any]:
        flow = {
            "id": "f",
            "trigger": {"with": {"verify": "none", "respond": self._value(1)}, "use": "webhook"},
            "steps": self._steps(2),
            "vars": {"z": self._value(2), "a": self._value(0)},
            "title": self._word(),
            "concurrency": 4,
            "unknown": [self._value(1)],
            "on_error": self._steps(1) if self._random.random() < 0.5 else "other-flow",
        }
        return self._shuffled(flow)

    def _steps(self, depth: int) -> list[Any]:
        return [self._step(depth) for _ in range(self._random.randint(1, 2))]

    def _step(self, depth: int) -> dict[str, Any]:
        self._count += 1
        number = self._count
        kinds = ["action", "action", "call", "wait", "batch"]
        if depth:
            kinds += ["foreach", "foreach", "try", "try", "switch", "switch", "parallel", "parallel"]
        step: dict[str, Any] = getattr(self, f"_{self._random.choice(kinds)}")(depth - 1)
        if self._random.random() < 0.8:
            step["id"] = f"s{number}"
        if self._random.random() < 0.3:
            step["when"] = "{{ body.n > 1 }}"
        return self._shuffled(step)

    def _action(self, _: int) -> dict[str, Any]:
        return {
            "use": self._random.choice(["map", "http.request", "log@1"]),
            "with": {"url": "https://example.org", "body": self._value(3)},
            "retry": {"wait": "5s", "attempts": 3},
            "timeout": "30s",
            "x": self._value(1),
        }

    def _call(self, _: int) -> dict[str, Any]:
        return {"with": {"wait": True, "id": "other-flow", "body": self._value(2)}, "use": "flow", "timeout": "1h"}

    def _wait(self, _: int) -> dict[str, Any]:
        fields = {"reason": {"label": self._word(), "type": "text"}, "amount": {"type": "number", "min": 1}}
        page = {"title": "Approve {{ body.id }}", "fields": fields, "choices": []}
        verify = self._random.choice(["none", {"credential": "shop", "scheme": "api-key"}])
        correlate = {"from": ["$.body.id", "$.body.kind"], "key": "{{ body.id }}"}
        return {"use": "webhook", "with": {"page": page, "verify": verify, "correlate": correlate, "timeout": "1d"}}

    def _batch(self, _: int) -> dict[str, Any]:
        return {"with": {"within": "10s", "size": 100, "key": "$.body.customer"}, "use": "batch"}

    def _foreach(self, depth: int) -> dict[str, Any]:
        return {"steps": self._steps(depth), "foreach": "$.body.lines", "as": "line", "concurrency": 2}

    def _try(self, depth: int) -> dict[str, Any]:
        return {"finally": self._steps(depth), "catch": self._steps(depth), "try": self._steps(depth)}

    def _switch(self, depth: int) -> dict[str, Any]:
        cases = [{"steps": self._steps(depth), "when": "{{ body.x }}"}, {"steps": [], "otherwise": True}]
        return {"switch": cases, "match": "all"}

    def _parallel(self, depth: int) -> dict[str, Any]:
        return {"parallel": {"one": self._steps(depth), "two": []}}

    def _value(self, depth: int) -> Any:
        kind = self._random.randrange(6 if depth else 4)
        if kind == 4:
            return [self._value(depth - 1) for _ in range(self._random.randrange(4))]
        if kind == 5:
            return {f"{self._word()} {n}": self._value(depth - 1) for n in range(self._random.randrange(4))}
        return (self._word(), f"#{self._random.choice(_NUMBERS)}#", True, None)[kind]

    def _word(self) -> str:
        return " ".join(self._random.choices(_WORDS, k=self._random.randint(1, 3)))

    def _shuffled(self, value: dict[str, Any]) -> dict[str, Any]:
        return dict(self._random.sample(sorted(value.items()), len(value)))


def content() -> str:
    """The content of the file: a list of flows, each with a text and its canonical form."""
    texts = [_text(_Maker(seed).flow(), seed) for seed in range(_COUNT)]
    flows = [{"text": text, "formatted": format_flow(read(text.encode()).value)} for text in texts]
    return json.dumps(flows, ensure_ascii=False, indent=1) + "\n"


def _text(flow: dict[str, Any], seed: int) -> str:
    # Python's numbers wouldn't keep the digits as they are written.
    return re.sub('"#(.*?)#"', r"\1", json.dumps(flow, ensure_ascii=seed % 2 == 0))


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
