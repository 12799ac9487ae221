"""The contract of connectors. A plugin's tests subclass `ConnectorContract` and set its class attributes."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias

import pytest

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.quality import Level, violations
from hookline.flows.check.check_flow import check_flow
from hookline.kernel.errors import AuthExpired, HooklineError, RateLimited, StepError, Unavailable
from hookline.kernel.json import encode
from hookline.sdk.connector import Connector
from hookline.sdk.http_client import Response
from hookline.secrets.masking import secret_values
from hookline.testing.connector_harness import SUBSCRIPTION_SECRET, Harness, plugin_of
from hookline.testing.fake_http import FailingHttp, FakeHttp, FakeRequest, FakeResponse, NotRecorded

_FAILURES = (
    AuthExpired("no", code="http.401"),
    RateLimited("later", code="http.429", retry_after=1),
    Unavailable("not now", code="http.503"),
    StepError("gone", code="http.404"),
)
_LONG = 5.0
_Run: TypeAlias = Callable[[], Awaitable[Any]]
#: The beginnings of codes that aren't a connector's own: those of `ctx.http`, and of the engine.
_ENGINES = ("http.", "pages.", "step.", "engine.", "connector.", "oauth2.")


class ConnectorContract:
    """The tests. A subclass has `connector`, `calls` and, where it takes one, `credential`."""

    connector: ClassVar[Connector]
    calls: ClassVar[Mapping[str, Mapping[str, Any]]]
    """For each action and each trigger, by its full name, settings with which it runs."""
    credential: ClassVar[Mapping[str, Any] | None] = None
    """Values of the connector's credential."""
    level: ClassVar[Level] = "silver"
    """The level of the quality scale that the connector has to have."""

    def answers(self, http: FakeHttp) -> None:
        """Say what the service answers to `calls`; a subclass overrides it."""

    @pytest.fixture
    async def harness(self) -> AsyncIterator[Harness]:
        """Runs the connector's actions and triggers."""
        harness = Harness(load_plugins(extra_plugins=[plugin_of(self.connector)], points=_engine_plugins()))
        yield harness
        await harness.close()

    def test_it_has_the_level_that_it_says(self) -> None:
        missing = [f"{rule.code} ({rule.level}): {text}" for rule, text in violations(self.connector, self.level)]
        assert missing == []

    def test_there_is_a_call_of_each_action_and_each_trigger(self) -> None:
        named = {action.name for action in self.connector.actions.values()}
        named |= {trigger.name for trigger in self.connector.triggers.values()}
        assert set(self.calls) == named

    def test_its_example_is_a_flow_without_problems(self) -> None:
        if self.connector.example is None:
            pytest.skip("it has no example")
        registry = load_plugins(extra_plugins=[plugin_of(self.connector)])
        problems = check_flow(encode(self.connector.example), registry, file="its example").problems
        assert [str(problem) for problem in problems] == []

    def test_a_credential_shows_no_secret(self) -> None:
        if self.connector.credential is None or self.credential is None:
            pytest.skip("it takes no credential")
        value = self.connector.credential.model_validate(self.credential)
        secrets = list(secret_values(value))
        assert secrets, "its credential declares nothing secret"
        assert not any(secret in repr(value) + str(value) for secret in secrets)

    async def test_it_gives_what_it_should_and_no_secret(self, harness: Harness) -> None:
        assert isinstance(harness.http, FakeHttp)
        self.answers(harness.http)
        for name, run in (await self._runs(harness)).items():
            self._check_hidden(repr(await run()), harness, name)

    async def test_what_is_gone_already_is_unsubscribed(self, harness: Harness) -> None:
        if not self.connector.webhooks:
            pytest.skip("it subscribes to nothing")
        known = await self._known(harness)
        harness.http = _Gone()
        for name in self.connector.webhooks:
            await harness.run_unsubscribe(name, known[name], credential=self.credential)

    async def test_of_what_it_subscribes_to_it_keeps_no_secret_and_finds_it_again(self, harness: Harness) -> None:
        if not self.connector.webhooks:
            pytest.skip("it subscribes to nothing")
        for name, known in (await self._known(harness)).items():
            shown = repr(known)
            assert SUBSCRIPTION_SECRET not in shown, f"{name}: the id of its Subscription holds the secret"
            harness.http = FakeHttp()
            self.answers(harness.http)
            again = await harness.run_subscribe(name, known=known, credential=self.credential, **self.calls[name])
            assert again.id == known, f"{name}: subscribed again, it is another one"

    @pytest.mark.parametrize("failure", _FAILURES, ids=lambda failure: failure.error_code)
    async def test_its_errors_are_of_the_tree_and_show_no_secret(self, harness: Harness, failure: StepError) -> None:
        runs = await self._runs(harness)
        harness.http = FailingHttp(failure)
        for name, run in runs.items():
            await self._fails_well(harness, name, run)

    @pytest.mark.parametrize(
        "content", [b"", b"<html>", b"null", b"[]", b"[null]", b"[{}]", b"{}", b'"text"'], ids=repr
    )
    async def test_an_answer_that_it_does_not_expect_is_no_defect(self, harness: Harness, content: bytes) -> None:
        runs = await self._runs(harness)
        harness.http = _Says(content)
        for name, run in runs.items():
            await self._fails_well(harness, name, run)

    async def test_cancellation_passes_and_no_task_is_left_behind(self, harness: Harness) -> None:
        runs = await self._runs(harness)
        harness.http = http = _Hangs()
        for name, run in runs.items():
            before = asyncio.all_tasks()
            http.asked.clear()
            running = asyncio.ensure_future(run())
            asked = asyncio.create_task(http.asked.wait())
            await asyncio.wait((running, asked), timeout=_LONG, return_when=asyncio.FIRST_COMPLETED)
            running.cancel()
            asked.cancel()
            await asyncio.wait((running, asked), timeout=_LONG)
            assert running.done(), f"{name} goes on although it was cancelled"
            # One that asks nothing has ended before.
            assert running.cancelled() or not http.asked.is_set(), f"{name} takes its cancellation for something else"
            # Tasks of resources that are kept open may run until these are closed.
            await harness.close_resources()
            left = {task for task in asyncio.all_tasks() - before if not task.done()}
            assert left == set(), f"{name} left tasks behind"

    async def _runs(self, harness: Harness) -> Mapping[str, _Run]:
        """Everything of the connector that can be run, by its name."""
        runs: dict[str, _Run] = {}
        known = await self._known(harness) if self.connector.webhooks else {}
        for name, settings in self.calls.items():
            if name in self.connector.webhooks:
                runs[name] = partial(harness.run_subscribe, name, credential=self.credential, **settings)
                unsubscribe = partial(harness.run_unsubscribe, name, known[name], credential=self.credential)
                runs[f"{name}, unsubscribing"] = unsubscribe
                if self.connector.webhooks[name].renew is not None:
                    renew = partial(harness.run_renew, name, known[name], credential=self.credential)
                    runs[f"{name}, renewing"] = renew
            elif name in {consumer.name for consumer in self.connector.consumers.values()}:
                # That it listens is all there is, where nobody sends anything.
                listen = partial(harness.run_consumer, name, 0, credential=self.credential, timeout=_LONG, **settings)
                runs[name] = listen
            elif name in {poll.name for poll in self.connector.polls.values()}:
                runs[name] = partial(harness.run_poll, name, credential=self.credential, **settings)
            else:
                runs[name] = partial(harness.run_action, name, credential=self.credential, with_=settings)
        return runs

    async def _known(self, harness: Harness) -> Mapping[str, Any]:
        """Subscribe with each trigger, and return the ids by trigger."""
        before, known = harness.http, {}
        for name in self.connector.webhooks:
            harness.http = http = FakeHttp()
            self.answers(http)
            known[name] = (await harness.run_subscribe(name, credential=self.credential, **self.calls[name])).id
        harness.http = before
        return known

    async def _fails_well(self, harness: Harness, name: str, run: _Run) -> None:
        try:
            given = repr(await run())
        except NotRecorded:
            raise
        except HooklineError as error:
            given = f"{error.message} {error!r}"
            self._check_listed(name, error)
        except Exception as error:  # noqa: BLE001 - whatever else it raises is what this looks for
            pytest.fail(f"{name} raised {type(error).__name__}, which is no error of hookline.api: {error}")
        self._check_hidden(given, harness, name)

    def _check_listed(self, name: str, error: HooklineError) -> None:
        listed = self.connector.errors
        if listed is None or not isinstance(error, StepError) or error.error_code.startswith(_ENGINES):
            return
        shapes = [re.sub(r"<[a-z]+>", "[a-z0-9_]+", re.escape(code)) for code in listed]
        assert any(re.fullmatch(shape, error.error_code) for shape in shapes), (
            f"{name} raised {error.error_code}, which Connector(errors=…) doesn't list"
        )

    def _check_hidden(self, given: str, harness: Harness, name: str) -> None:
        if self.connector.credential is None or self.credential is None:
            return
        value = self.connector.credential.model_validate(self.credential)
        logged = repr(getattr(harness.log, "lines", ""))
        tokens = [] if harness.tokens is None else harness.tokens.given
        for secret in (*secret_values(value), *tokens):
            assert secret not in given, f"{name}: a secret is in what it gives or raises"
            assert secret not in logged, f"{name}: a secret is in what it logs"


def _engine_plugins() -> Any:
    """Those of Hookline itself: the connector that is tested may be installed, too."""
    from importlib.metadata import entry_points

    from hookline.discovery.registry import GROUP

    return [point for point in entry_points(group=GROUP) if point.dist is not None and point.dist.name == GROUP]


class _Says(FakeHttp):
    """Answers each request with the same."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self._content = content

    async def request(self, method: str, url: str, **options: Any) -> Response:
        return Response(200, {}, self._content)


class _Gone(FakeHttp):
    """Knows nothing of what it is asked for."""

    async def _answer(self, asked: FakeRequest, method: str, url: str, options: Mapping[str, Any]) -> FakeResponse:
        return FakeResponse(404, {"content-type": "application/json"}, "{}")


class _Hangs(FakeHttp):
    """Answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = asyncio.Event()

    async def request(self, method: str, url: str, **options: Any) -> Response:
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError
