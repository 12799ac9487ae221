"""Each setting that names a path, a URL, a host, a header, a template or a program says what it may reach."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from hookline.discovery.plugin_loader import load_plugins
from hookline.model.flow import STEPS, CaseDocument, FlowDocument
from hookline.model.reach import NAMES_A_PLACE, REACHES, Declared, Reach, declared_settings
from hookline.model.webhook import Correlate, PageSettings
from hookline.server_settings import Settings
from hookline.service.views.components import settings_models

REGISTRY = load_plugins()
MODELS: dict[str, type[BaseModel]] = {
    "server": Settings,
    **{model.__name__: model for model in (FlowDocument, *STEPS, CaseDocument, PageSettings, Correlate)},
    **{
        f"{kind} {name}": model
        for kind, named in settings_models(REGISTRY).items()
        for name, model in named.items()
        if model is not None
    },
}

#: The names of settings whose texts are data for the service, for people or for the flow, whichever component has them.
PLAIN = frozenset(
    """
    access_key_id account add admin_token alt_text amount api_key api_version app_id arguments as assignee
    assignees audience blocks body branch by callable_by capture_id channel charge client_id client_rate
    client_secret client_state code columns comment content content_type context correlation_data correlation_id
    creator cron currency custom_id customer data datacontenttype default delimiter description encoding escape
    event events fields force_list form gives group help html icon_emoji id imap_password imap_username inputs
    into invoice invoice_id issuer items json json_fields jwks key label labels media_types message message_id
    metadata method more name node_name note on order_id organization parallel params password payment_intent
    payment_method payment_method_types payment_source payout_batch_id phone purchase_units query quote rate ref
    repository root row rows scheme scopes secret secret_access_key secret_key sender sender_batch_id
    session_token sha signed signing_token smtp_password smtp_username snippet_type sources stream subject tag
    team_id text thread_ts time time_zone title token transaction_currency transaction_id transaction_type
    trigger_id ts type types use user username value values verify_token view webhook_id where
    """.split()  # noqa: SIM905 - one name a line is harder to read
)
#: Patterns of settings whose names only look as if they reached something.
HARMLESS = {
    "action slack.* attachments": "parts of the text in Slack",
    "action slack.lookup_user_by_email email": "the person to look up in Slack",
    "action slack.upload_file filename": "the name that Slack shows",
    "action stripe.create_customer email": "a field of the customer at Stripe",
    "action stripe.create_customer address": "a field of the customer at Stripe",
    "action stripe.update_customer email": "a field of the customer at Stripe",
    "action stripe.update_customer address": "a field of the customer at Stripe",
    "action stripe.list_customers email": "compared by Stripe",
    "action stripe.create_payment_intent receipt_email": "Stripe sends the receipt",
    "action github.create_release target": "a branch or a commit",
    "action lookup table": "the table itself",
    "scheme sns topics": "compared with the sender's",
    "scheme api-key prefix": "the beginning of a value that is compared",
    "scheme hmac prefix": "the beginning of a value that is compared",
    "scheme jwt prefix": "the beginning of a value that is compared",
    "block flow headers": "headers of the message with which the flow starts",
    "* file_types": "media types that are compared",
}


def undeclared() -> Iterator[tuple[str, Declared]]:
    for name, model in MODELS.items():
        for setting in declared_settings(model):
            if setting.reach is None and setting.takes_text:
                yield name, setting


def test_each_setting_says_what_it_may_reach() -> None:
    unknown = [
        f"{component} {setting.path}"
        for component, setting in undeclared()
        if setting.path.rpartition(".")[2] not in PLAIN and not is_harmless(f"{component} {setting.path}")
    ]
    assert unknown == [], 'declare it, as in Annotated[str, Reach("file")], or name it as plain data in this test'


def is_harmless(setting: str) -> bool:
    return any(fnmatchcase(setting, pattern) for pattern in HARMLESS)


def test_what_is_named_as_plain_or_harmless_is_a_setting() -> None:
    settings = [f"{component} {setting.path}" for component, setting in undeclared()]
    assert [pattern for pattern in HARMLESS if not any(fnmatchcase(one, pattern) for one in settings)] == []
    assert PLAIN - {setting.rpartition(" ")[2].rpartition(".")[2] for setting in settings} == set()


def test_no_name_of_a_place_is_plain_everywhere() -> None:
    assert [name for name in PLAIN if NAMES_A_PLACE.search(name)] == []


def test_each_kind_of_reach_is_used() -> None:
    used = {
        setting.reach.kind
        for model in MODELS.values()
        for setting in declared_settings(model)
        if setting.reach is not None
    }
    assert used == REACHES.keys()


class Inner(BaseModel):
    target_url: str = ""


class Outer(BaseModel):
    path: Annotated[str, Reach("file")]
    inner: list[Inner] = Field(default_factory=list)
    whole: Annotated[Inner | None, Reach("passed_url")] = None


def test_settings_are_found_in_models_within_models() -> None:
    found = {setting.path: setting.reach and setting.reach.kind for setting in declared_settings(Outer)}
    assert found == {"path": "file", "inner": None, "inner.target_url": None, "whole": "passed_url"}


def test_an_unknown_kind_of_reach_is_an_error() -> None:
    with pytest.raises(ValueError, match="'moon' is no kind of reach"):
        Reach("moon")  # type: ignore[arg-type]  # that is what is tested
