"""Flows with one problem each, as authors write them by accident, with its code and its place.

The tests of the checker, of its fixes and of the console's editor share them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from tests.unit.flows.check.test_seeded_problems import WRONG, document, put


@dataclass(frozen=True)
class ProblemExample:
    """A flow with one problem."""

    flow: Any
    code: str
    pointer: str
    fixed: bool = True
    """The problem has a fix."""
    ships: bool = False
    """The flow is one that ships, so that its cases show types."""

    def __str__(self) -> str:
        return f"{self.code} {self.pointer}"


def log(message: Any = "x", **more: Any) -> dict[str, Any]:
    return {"use": "log", "with": {"message": message}, **more}


def mapped(body: Any, **more: Any) -> dict[str, Any]:
    return {"use": "map", "with": {"body": body}, **more}


def a_flow(*steps: Any, **more: Any) -> dict[str, Any]:
    trigger = {"use": "webhook", "with": {"verify": "none", **more.pop("webhook", {})}}
    return {"id": "orders", "trigger": trigger, "steps": list(steps)} | more


def fetch(**more: Any) -> dict[str, Any]:
    return {"use": "http.request", "with": {"url": "https://a.example", "method": "POST"}, **more}


def insert(**settings: Any) -> dict[str, Any]:
    return {"use": "sql.insert", "with": {"url": "sqlite:///a.db", "table": "t", **settings}}


_REPLY: Final = {"respond": "reply"}
_NOBODY: Final = {"scheme": "none", "secret": "x"}
_ONE_OF_TWO: Final = {
    "id": "choice",
    "switch": [{"when": "{{ body.a }}", "steps": [mapped(1, id="a")]}, {"otherwise": True, "steps": [log()]}],
}
_SLEEP: Final = {"use": "sleep", "with": {"for": "1m"}}
_WAIT: Final = {"id": "answer", "use": "webhook"}

#: The code, the pointer, the flow; and False if it has no fix, because somebody has to decide.
_SMALL: Final[tuple[tuple[Any, ...], ...]] = (
    ("unknown_key", "/steps/0/whn", a_flow(log(whn="{{ body.a }}"))),
    ("unknown_key", "/steps/0/with/mesage", a_flow({"use": "log", "with": {"mesage": "x"}})),
    ("unknown_key", "/steps/0/with/colour", a_flow({"use": "log", "with": {"message": "x", "colour": "red"}})),
    ("unknown_key", "/steps/0/retry", a_flow({**_WAIT, "with": {"timeout": "1h"}, "retry": {"attempts": 2}})),
    ("unknown_key", "/steps/0/timeout", a_flow({**_WAIT, "timeout": "1h"})),
    ("unknown_key", "/trigger/with/verify/secret", a_flow(log(), webhook={"verify": _NOBODY})),
    ("unknown_action", "/steps/0/use", a_flow({"use": "lgo", "with": {"message": "x"}})),
    ("unknown_action", "/steps/0/use", a_flow({"use": "teleport"}), False),
    ("unknown_scheme", "/trigger/with/verify", a_flow(log(), webhook={"verify": "githbu"})),
    ("unknown_trigger", "/trigger/use", {**a_flow(log()), "trigger": {"use": "webhok", "with": {"verify": "none"}}}),
    ("unknown_mapper", "/mappers/0", a_flow(log(), mappers=["jsonatta"])),
    ("unknown_step", "/steps/1/with/message", a_flow(mapped(1, id="order"), log("$.steps.oder.body"))),
    ("unknown_var", "/steps/0/with/message", a_flow(log("{{ vars.nam }} {{ vars.name }}"), vars={"name": "x"})),
    ("unknown_var", "/steps/0/with/message", a_flow(log("{{ vars.name }}"))),
    ("unknown_name", "/steps/1/with/message", a_flow(mapped(1, id="order"), log("{{ order.body }}"))),
    ("missing_key", "/steps/0", a_flow({"with": {"message": "x"}})),
    ("unknown_key", "/steps/0/usee", a_flow({"usee": "log", "with": {"message": "x"}})),
    ("missing_key", "/steps/0/with", a_flow({"use": "log", "with": {}})),
    ("missing_key", "/steps/0/with", a_flow(insert(row=None))),
    ("missing_key", "/trigger/with/verify", a_flow(log(), webhook={"verify": "github"})),
    ("missing_key", "/steps/0", a_flow({"id": "a", "try": [log()]})),
    ("missing_key", "", {"trigger": {"use": "manual"}, "steps": [log()]}),
    ("missing_key", "", {"id": "orders", "trigger": {"use": "manual"}}),
    ("duplicate_id", "/steps/1/id", a_flow(log(id="say"), log(id="say"))),
    ("invalid_value", "/steps/0/id", a_flow(log(id="Say It"))),
    ("invalid_value", "/id", a_flow(log(), id="My Orders")),
    ("invalid_value", "/steps/0/with/level", a_flow({"use": "log", "with": {"message": "x", "level": "warn"}})),
    ("invalid_value", "/steps/0/timeout", a_flow(fetch(timeout=30))),
    ("invalid_value", "/steps/0/timeout", a_flow(fetch(timeout="5 minutes"))),
    ("invalid_value", "/steps/0/timeout", a_flow(fetch(timeout="0s"))),
    ("invalid_value", "/steps/0/delivery", a_flow(fetch(delivery="at_most_onc"))),
    ("invalid_value", "/mappers", a_flow(log(), mappers="jsonata")),
    ("expression.syntax", "/steps/0/with/message", a_flow(log("hello {{ body.name"))),
    ("expression.syntax", "/steps/0/when", a_flow(log(when="{{ body.a = 1 }}"))),
    ("expression.syntax", "/steps/0/when", a_flow(log(when="{{ body.a && body.b }}"))),
    ("expression.syntax", "/steps/0/when", a_flow(log(when="$.body.total > 100"))),
    ("expression.condition", "/steps/0/when", a_flow(log(when="body.total > 100"))),
    ("expression.condition", "/steps/0/when", a_flow(log(when="true"))),
    ("plain_text", "/steps/0/with/message", a_flow(log("hello $.body.name"))),
    ("plain_text", "/steps/0/with/message", a_flow(log("hello ${body.name}"))),
    ("mapper_not_listed", "/steps/0/with/body", a_flow(mapped({"jsonata": "$sum($.body.x)"}))),
    ("step_may_not_run", "/steps/1/with/message", a_flow(_ONE_OF_TWO, log("$.steps.a.body"))),
    ("step_may_not_run", "/steps/1/with/message", a_flow(_ONE_OF_TWO, log("was {{ steps.a }}"))),
    ("step_later", "/steps/0/with/message", a_flow(log("$.steps.late.body"), mapped(1, id="late")), False),
    ("out_of_scope", "/steps/0/with/message", a_flow(log("$.error.message")), False),
    ("reserved_name", "/steps/0/as", a_flow({"foreach": "$.body", "as": "body", "steps": [log()]}), False),
    ("invalid_case", "/steps/0/switch/0", a_flow({"id": "a", "switch": [{"steps": [log()]}]})),
    ("settings_conflict", "/steps/0/with/rows", a_flow(insert(row={"a": 1}, rows=[]))),
    ("secret_in_flow", "/vars/db", a_flow(log("$.vars.db"), vars={"db": "mysql://jo:secret@db/x"}), False),
    ("without_effect", "/steps/0/rate", a_flow(mapped(1, rate="5/s"))),
    ("retry_at_most_once", "/steps/0/retry", a_flow(fetch(delivery="at_most_once", retry={"attempts": 3}))),
    ("credential_unwanted", "/steps/0/credential", a_flow(log(credential="shop"))),
    ("reply_missing", "/trigger/with/respond", a_flow(log(), webhook=_REPLY)),
    ("reply_late", "/steps/1", a_flow(_SLEEP, {"use": "reply"}, webhook=_REPLY), False),
    ("redact_path", "/redact/0", a_flow(mapped(1, id="order"), redact=["$.steps.oder.body.x"])),
    ("constant_key", "/order_by", a_flow(log(), order_by="body.id"), False),
)  # fmt: skip

#: The seeded problems that need somebody's decision, by their codes, or by their places.
_UNDECIDED: Final = frozenset(
    {"wrong_type", "expression.condition", "secret_shown", "/steps/1/with/body/written", "/trigger/with/respond"}
)


def _seeded() -> Iterator[ProblemExample]:
    for flow, at, value, code, pointer, _ in WRONG:
        yield ProblemExample(
            put(document(flow), at, value), code, pointer or at, not {code, pointer or at} & _UNDECIDED, ships=True
        )


SMALL: Final = tuple(ProblemExample(flow, code, pointer, *fixed) for code, pointer, flow, *fixed in _SMALL)
SEEDED: Final = tuple(_seeded())
EXAMPLES: Final = (*SEEDED, *SMALL)
