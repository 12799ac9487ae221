"""Steps for tests of the linter, and how its one problem is read."""

from collections.abc import Callable
from typing import Any

from hookline.kernel.errors import Problem

Check = Callable[..., list[Problem]]
KEY = {"credential": "acme-prod"}


def order(**settings: Any) -> dict[str, Any]:
    return {"id": "book", "use": "acme.create_order", "with": {"sku": "x", **settings}, **KEY}


def one(problems: list[Problem], code: str) -> Problem:
    assert [problem.code for problem in problems] == [code], "\n".join(map(str, problems))
    assert problems[0].file == "orders.json"
    assert problems[0].remedy
    return problems[0]
