"""Holds each answer of the admin API against the OpenAPI document, wherever a test asks the API in this process."""

import json
import re
from typing import Any
from weakref import WeakKeyDictionary

import jsonschema_rs
import pytest
from quart import Quart, Response, request

from hookline.service.admin.openapi import document, operation_of
from hookline.service.app import Pages


class _Description:
    """An OpenAPI document, with the validators of those answers that were given."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._validators: dict[tuple[str, ...], jsonschema_rs.Draft202012Validator] = {}

    def validator(self, place: tuple[str, ...], schema: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
        """The validator of the answer at a place, which has this schema."""
        if place not in self._validators:
            whole = {**schema, "components": self.document["components"]}
            self._validators[place] = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return self._validators[place]


_by_routes: dict[tuple[str, ...], _Description] = {}
_by_app: WeakKeyDictionary[Quart, _Description] = WeakKeyDictionary()


class DescribedAnswers:
    """The problems of the answers that came while it watched."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.seen = 0

    def watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Look at all answers of Quart's applications."""
        process = Quart.process_response

        async def watched(app: Quart, *given: Any) -> Any:
            # Before Quart 0.23 these are the response and the context, and since then the context and the response.
            processed = await process(app, *given)
            await self.look(app, processed)
            return processed

        monkeypatch.setattr(Quart, "process_response", watched)

    async def look(self, app: Quart, response: Response) -> None:
        """Note what is wrong with an answer to the current request."""
        rule = request.url_rule
        if rule is None or operation_of(app.view_functions[rule.endpoint]) is None:
            return
        if request.method not in ("GET", "PUT", "POST", "DELETE", "PATCH"):
            return
        self.seen += 1
        path = re.sub(r"<(?:[^:>]*:)?([^>]+)>", r"{\1}", rule.rule)
        place = f"{request.method} {path}: {response.status_code}"
        # Commands ask an application of their own, with neither a browser nor a proxy.
        if isinstance(app, Pages) and response.headers.getlist("Cache-Control") != ["no-store"]:
            self.problems.append(f"{place} may be stored by a browser or a proxy")
        description = _described(app)
        answer = description.document["paths"][path][request.method.lower()]["responses"].get(str(response.status_code))
        content = {} if answer is None else answer.get("content", {})
        data = b"" if response.mimetype == "text/event-stream" else await response.get_data(as_text=False)
        if answer is None:
            self.problems.append(f"{place} is not described: {data[:500]!r}")
        elif not content and data:
            self.problems.append(f"{place} has no body, but there is one: {data[:500]!r}")
        elif content and response.mimetype not in content:
            self.problems.append(f"{place} has the type {response.mimetype}, which is not among {sorted(content)}")
        elif response.mimetype.endswith("json"):
            validator = description.validator((place, response.mimetype), content[response.mimetype]["schema"])
            errors = validator.iter_errors(json.loads(data))
            self.problems += [f"{place}: {error.instance_path}: {error.message}" for error in errors]


def _described(app: Quart) -> _Description:
    if app not in _by_app:
        # Nearly all applications have the same routes.
        routes = tuple(
            f"{rule.rule} {rule.methods} {operation.open}"
            for rule in app.url_map.iter_rules()
            if (operation := operation_of(app.view_functions[rule.endpoint])) is not None
        )
        if routes not in _by_routes:
            _by_routes[routes] = _Description(document(app))
        _by_app[app] = _by_routes[routes]
    return _by_app[app]
