"""Each connector of the documentation, copied without a change, passes the contract and strict types."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from hookline.sdk.connector import Connector
from hookline.testing.contracts.connector import ConnectorContract
from hookline.testing.fake_http import FakeHttp

ROOT = Path(__file__).parents[3]
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
URL = "https://api.acme.example"


class Example(NamedTuple):
    """How a connector of a page runs: its credential, its calls, and the responses to them."""

    calls: Mapping[str, Mapping[str, Any]]
    responses: Mapping[tuple[str, str], Any]
    credential: Mapping[str, Any] | None = None


KEY = {"token": "a-token-of-tests"}
ORDER = {"id": 17, "sku": "a", "changed_at": "2026-01-31T08:00:00Z"}
EXAMPLES = {
    "tutorial/plugin.md": Example(
        {"acme.create_order": {"sku": "a"}},
        {("POST", f"{URL}/orders"): ORDER, ("GET", f"{URL}/me"): {"name": "Ada"}},
        KEY,
    ),
    "how-to/write-a-poll.md": Example(
        {"acme.new_orders": {}}, {("GET", f"{URL}/orders?status=open&since=&sort=changed_at"): [ORDER]}, KEY
    ),
    "how-to/authorize-with-oauth2.md": Example(
        {"acme.get_order": {"number": "17"}},
        {("GET", "https://acme.example/orders/17"): ORDER},
        {"client_id": "c", "client_secret": "a-secret-of-tests"},
    ),
    "how-to/describe-a-connector.md": Example(
        {"acme.create_order": {"sku": "a"}}, {("POST", f"{URL}/orders"): ORDER}, KEY
    ),
    "how-to/write-a-connector.md": Example(
        {
            "acme.list_orders": {},
            "acme.create_order": {"sku": "a"},
            "acme.load_prices": {"prices": [{"sku": "a", "amount": 1.5}]},
        },
        {
            ("GET", f"{URL}/orders?status=open"): [ORDER],
            ("POST", f"{URL}/orders"): ORDER,
            ("PUT", f"{URL}/prices/a"): {},
        },
        KEY,
    ),
    "how-to/write-a-webhook-trigger.md": Example(
        {"acme.events": {"topics": ["orders"]}},
        {
            ("GET", f"{URL}/hooks"): [],
            ("POST", f"{URL}/hooks"): {"id": "7", "url": "x"},
            ("DELETE", f"{URL}/hooks/7"): {},
        },
        KEY,
    ),
    "how-to/large-files-and-streams.md": Example(
        {"acme.orders": {"since": "2026-01-31"}},
        {
            ("GET", "https://acme.example/orders?since=2026-01-31&page=1"): {"orders": [ORDER]},
            ("GET", "https://acme.example/orders?since=2026-01-31&page=2"): {"orders": []},
        },
    ),
    "how-to/check-flows.md": Example({"acme.charge": {"number": 1}}, {}),
}
WITHOUT = {
    "how-to/receive-from-brokers.md": "it needs a broker of its own, which the page only sketches",
    "how-to/test-a-connector.md": "it is a contract itself",
}


def connectors() -> Iterator[tuple[str, str]]:
    """Yield each block of Python that makes a connector, with its page."""
    for page in sorted((ROOT / "docs").glob("*/*.md")):
        for block in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if re.search(r"= Connector\(", block):
                yield str(page.relative_to(ROOT / "docs")), block


FOUND = list(connectors())


def module_of(page: str) -> str:
    return "documented_" + re.sub(r"\W", "_", page.removesuffix(".md"))


def contract_of(page: str, source: str) -> type[ConnectorContract]:
    module = ModuleType(module_of(page))
    sys.modules[module.__name__] = module
    exec(compile(source, page, "exec"), module.__dict__)
    (connector,) = [one for one in vars(module).values() if isinstance(one, Connector)]
    example = EXAMPLES[page]

    def answers(_self: ConnectorContract, http: FakeHttp) -> None:
        for (method, url), body in example.responses.items():
            http.answers(method, url, body)

    own = {"connector": connector, "calls": example.calls, "credential": example.credential, "answers": answers}
    return type(f"Test_{module.__name__}", (ConnectorContract,), own)


for _page, _source in FOUND:
    if _page in EXAMPLES:
        _contract = contract_of(_page, _source)
        globals()[_contract.__name__] = _contract


def test_each_connector_of_the_pages_is_tested() -> None:
    pages = [page for page, _ in FOUND]
    assert sorted(pages) == sorted({*EXAMPLES, *WITHOUT})


@pytest.mark.long  # it checks the types of all that they import, too
@pytest.mark.timeout(300)
def test_each_connector_of_the_pages_is_typed_strictly(tmp_path: Path) -> None:
    for page, source in FOUND:
        (tmp_path / f"{module_of(page)}.py").write_text(source, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--explicit-package-bases", str(tmp_path)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
