"""Problems put into the flows that ship: each is found, once, where it is, with what to do about it."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hookline.catalog.flow_folder import scan
from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.flows.types.sample_shapes import Samples, read_samples
from hookline.kernel.errors import Problem

FLOWS = Path(__file__).parents[4] / "flows"


@cache
def registry() -> Registry:
    return load_plugins()


@cache
def samples(flow: str) -> Samples:
    return read_samples(json.loads((FLOWS / f"{flow}.test.json").read_bytes()))


def problems(flow: str, document: Any) -> list[Problem]:
    found = check_flow(json.dumps(document).encode(), registry(), file=f"{flow}.json", samples=samples(flow)).problems
    # That a form can be sent by anybody is meant so.
    return [problem for problem in found if problem.code != "not_verified"]


def document(flow: str) -> Any:
    return json.loads((FLOWS / f"{flow}.json").read_bytes())


def put(document: Any, pointer: str, value: Any) -> Any:
    """A copy of the document with another value at the pointer; `-` appends to a list."""
    made = copy.deepcopy(document)
    *way, last = pointer.strip("/").split("/")
    place = made
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if isinstance(place, list) and last == "-":
        place.append(value)
    elif isinstance(place, list):
        place[int(last)] = value
    else:
        place[last] = value
    return made


Seed = tuple[str, str, Any, str, str, str]

#: The flow, where the problem is put, the problem; the problem's code, its pointer ("": where it was put), its remedy.
SEEDS: tuple[Seed, ...] = (
    ("shopify-order", "/steps/1/with/row/total", "$.trigger.body.totl_price", "doubtful_key", "", "total_price"),
    ("shopify-order", "/steps/2/steps/0/with/row/quantity", "$.line.quantty", "doubtful_key", "", "quantity"),
    ("shopify-order", "/steps/2/foreach", "$.steps.order.bdy", "no_such_key", "", "body"),
    ("shopify-order", "/steps/3/with/message", "{{ headers.topic }}", "no_such_key", "", "trigger.headers"),
    ("iot-bulk", "/steps/0/steps/1/with/row/at", "$.reading.att", "doubtful_key", "", "'at'"),
    ("iot-bulk", "/steps/0/steps/0/with/keep", "$.reading.device", "wrong_type", "", "true or false"),
    ("iot-bulk", "/steps/1/with/body/written", "$.body.length", "no_such_key", "", "another path"),
    ("iot-bulk", "/steps/0/steps/2/when", "$.reading.device", "expression.condition", "", "compares"),
    ("order-approval", "/steps/1/with/json", "$.body.aproved", "no_such_key", "", "approved"),
    ("order-approval", "/steps/1/with/json", "$.trigger.body.totals", "doubtful_key", "", "total"),
    ("order-approval", "/steps/1/with/json", "$.execution.startd_at", "no_such_key", "", "started_at"),
    ("nightly-report", "/steps/0/with/params/until", "$.body.schedule_at", "doubtful_key", "", "scheduled_at"),
    ("nightly-report", "/steps/2/with/rows", "$.trigger.body.fired_at", "wrong_type", "", "list"),
    ("saga-booking", "/steps/0/catch/2/with/body/reason", "$.error.mesage", "no_such_key", "", "message"),
    ("saga-booking", "/steps/0/try/3/when", "{{ 1 == 2 }}", "reply_missing", "/trigger/with/respond", "replies"),
    ("slack-command", "/trigger/with/respond", "finished", "reply_unheard", "/steps/1", "respond"),
    ("slack-command", "/steps/2/with/message", "{{ trigger.body.user_nme }}", "doubtful_key", "", "user_name"),
    ("paypal-to-accounting", "/steps/0", {"id": "paid", "use": "stop"}, "unreachable", "/steps/1", "move it up"),
    ("paypal-to-accounting", "/steps/0/with/keep", False, "unreachable", "/steps/1", "move it up"),
    ("paypal-to-accounting", "/steps/2/with/once", False, "unsafe_retry", "/steps/2", "at_most_once"),
    ("stripe-payment", "/steps/0/switch/1/when", False, "unreachable", "", "remove the case"),
    ("csv-upload", "/steps/2/with/body/supplier", "$.trigger.body.suplier", "doubtful_key", "", "supplier"),
    ("purchase-order-xml", "/steps/0/steps/1/with/row", "$.body.price", "", "", ""),
    ("github-push", "/steps/1/switch/0/steps/0/with/url", "{{ headers.cookie }}", "secret_shown", "", "header"),
    ("signup-form", "/steps/1/with/headers", {"Idempotency-Key": None}, "unsafe_retry", "/steps/1", "at_most_once"),
    ("bulk-import", "/steps/2/with/body/batches", "$.body.counts", "no_such_key", "", "count"),
    ("file-to-directory", "/steps/1/steps/0/with/file", "$.file.filname", "no_such_key", "", "filename"),
    ("signup-form", "/steps/1/with/json/name", "$.body.nam", "doubtful_key", "", "name"),
    ("signup-form", "/steps/1/with/json/topics", "$.body.topics", "may_be_missing", "", "default"),
)  # fmt: skip
RIGHT = [seed for seed in SEEDS if not seed[3]]
WRONG = [seed for seed in SEEDS if seed[3]]


@pytest.mark.parametrize("flow", sorted(path.stem for path in scan(FLOWS)))
def test_nothing_is_wrong_with_a_flow_that_ships(flow: str) -> None:
    assert problems(flow, document(flow)) == []


@pytest.mark.parametrize(
    ("flow", "at", "value", "code", "pointer", "remedy"),
    WRONG,
    ids=[f"{seed[0]}{seed[1]}: {seed[3]}" for seed in WRONG],
)
def test_a_problem_is_found_once(flow: str, at: str, value: Any, code: str, pointer: str, remedy: str) -> None:
    found = problems(flow, put(document(flow), at, value))
    assert [(problem.code, problem.pointer) for problem in found] == [(code, pointer or at)], found
    assert remedy in found[0].remedy


@pytest.mark.parametrize(("flow", "at", "value"), [seed[:3] for seed in RIGHT])
def test_what_may_be_right_is_no_problem(flow: str, at: str, value: Any) -> None:
    assert problems(flow, put(document(flow), at, value)) == []
