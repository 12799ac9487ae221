"""The pages docs/how-to/providers/*.md over a real server: each provider's flow and commands, copied out and run."""

import contextlib
import json
import re
import shlex
import subprocess
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hmac import new as mac
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hookline.cli.main import main
from hookline.discovery.plugin_loader import load_plugins
from hookline.kernel.json import decode, encode
from tests.acceptance.forked_server import ForkedServer
from tests.acceptance.server_process import TOKEN, ServerProcess, eventually

PAGES = Path(__file__).parents[2] / "docs" / "how-to" / "providers"
SCHEMES = load_plugins().schemes
TOPIC = "arn:aws:sns:eu-west-1:123456789012:orders"


@dataclass(frozen=True)
class Section:
    """The flows and commands that a newcomer copies from a provider's page."""

    scheme: str
    flows: tuple[Mapping[str, Any], ...]
    commands: tuple[str, ...]


def sections() -> dict[str, Section]:
    found = {}
    for page in sorted(PAGES.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        flows = tuple(
            json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
        )
        scheme = flows[0]["trigger"]["with"]["verify"]["scheme"]
        assert scheme == page.stem
        found[scheme] = Section(scheme, flows, tuple(re.findall(r"^    (\S.*)$", text, re.MULTILINE)))
    return found


SECTIONS = sections()
SHARED, OTHER = (f"whsec_{b64encode(bytes(range(start, start + 24))).decode()}" for start in (0, 1))
SECRET = {"standard-webhooks": SHARED, "svix": SHARED}
SECRET_OF_OTHERS = {"standard-webhooks": OTHER, "svix": OTHER}
#: What the page can't know: key and value, for each scheme.
KNOWN = {
    "basic": {"username": "shop"},
    "discord": {"public_key": Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw().hex()},
    "paypal": {"webhook_id": "1JE4291016473214C"},
    "sendgrid": {
        "public_key": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2f"
        "NNRaINXvVpiglSI8eNEc6wEA3F+g=="
    },
}
#: A file that the page names, and what is in it.
FILES = {"verify_token.txt": "a token of our own", "event.json": '{"id": "1"}'}
VERIFY_TOKEN = FILES["verify_token.txt"]
#: Makes a key beside that of the page, where a secret isn't shared.
OWN_KEYS = ("discord", "paypal", "sendgrid", "sns")
#: Not on the page, since a key in the query is what one does in need.
IN_QUERY = {
    "id": "query-key",
    "trigger": {
        "use": "webhook",
        "with": {"verify": {"scheme": "api-key", "credential": "query-key", "query": "key"}},
    },
    "steps": [{"id": "seen", "use": "log", "with": {"message": "received"}}],
}

FAILING: dict[str, Any] = {
    "id": "fails",
    "trigger": {"use": "webhook", "with": {"verify": {"scheme": "stripe", "credential": "gone"}}},
    "steps": [{"id": "no", "use": "fail", "with": {"message": "not today", "code": "closed"}}],
}


def secret(scheme: str) -> str:
    return SECRET.get(scheme, f"the secret of {scheme}, long enough for a token")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ForkedServer(tmp_path_factory.mktemp("providers"))
    for name, text in FILES.items():
        (server.folder / name).write_text(text)
    for flow in (IN_QUERY, FAILING, *(flow for section in SECTIONS.values() for flow in section.flows)):
        server.flow(flow)
    server.start()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run in this process, which is faster than one of their own each."""
    monkeypatch.setenv("HOOKLINE_ADMIN_TOKEN", TOKEN)


def hookline(server: ServerProcess, *arguments: str, stdin: str | None = None) -> Result:
    with contextlib.chdir(server.folder):
        return CliRunner().invoke(main, arguments, input=stdin)


def run(server: ServerProcess, scheme: str, command: str, secret: str) -> Result:
    """A command of the page, with what the reader fills in."""
    arguments = shlex.split(command)
    for number, argument in enumerate(arguments):
        key = argument.partition("=")[0]
        if argument.endswith("=…"):
            arguments[number] = f"{key}={KNOWN[scheme][key]}"
    return hookline(server, *arguments[1:], stdin=f"{secret}\n")


def prepared(server: ServerProcess, scheme: str) -> str:
    """All commands of a section but the last, which sends: given back."""
    section = SECTIONS[scheme]
    *before, send = section.commands
    body = re.search(r"a body such as `(.*?)`", _text_of(scheme))
    (server.folder / shlex.split(send)[3]).write_text(body.group(1) if body else FILES["event.json"])
    for command in before:
        if command.startswith("hookline "):
            done = run(server, scheme, command, secret(scheme))
            assert done.exit_code == 0, (command, done.output)
        else:
            subprocess.run(["sh", "-c", command], cwd=server.folder, check=True, capture_output=True)
    return send


def _text_of(scheme: str) -> str:
    return (PAGES / f"{scheme}.md").read_text(encoding="utf-8")


def others(server: ServerProcess, scheme: str) -> list[str]:
    """Values like those of the credential, of somebody else's."""
    if scheme not in OWN_KEYS:
        (values,) = (
            shlex.split(one)[6:] for one in SECTIONS[scheme].commands if one.startswith("hookline credentials")
        )
        wrong = SECRET_OF_OTHERS.get(scheme, f"somebody else's secret, and {secret(scheme)}")
        return [
            f"{key}={KNOWN[scheme][key] if value == '…' else wrong}"
            for key, _, value in (one.partition("=") for one in values)
        ]
    # The page's own commands, in another folder.
    elsewhere = server.folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    make, *_ = (one for one in SECTIONS[scheme].commands if one.startswith("openssl"))
    subprocess.run(["sh", "-c", make], cwd=elsewhere, check=True, capture_output=True)
    values = shlex.split(next(one for one in SECTIONS[scheme].commands if "@test.key" in one))[6:]
    return [value.replace("@test", "@elsewhere/test") for value in values]


def accepted(scheme: str) -> int:
    own = SCHEMES[scheme].accepted
    return 202 if own is None else own.status


def test_each_scheme_has_its_section_with_a_flow_and_a_command_that_sends() -> None:
    assert SECTIONS.keys() == SCHEMES.keys()
    assert all(section.commands[-1].startswith("hookline send from-") for section in SECTIONS.values())
    assert {name for name, one in SECTIONS.items() if "openssl" in str(one.commands)} == set(OWN_KEYS)


@pytest.mark.parametrize("scheme", SECTIONS)
def test_what_is_sent_as_the_page_says_is_accepted_and_what_another_secret_signs_is_401(
    server: ServerProcess, scheme: str
) -> None:
    send = prepared(server, scheme)
    done = run(server, scheme, f"{send} --json", secret(scheme))
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["status"], answer["scheme"]) == (0, accepted(scheme), scheme), answer
    execution = server.ended(answer["headers"]["hookline-execution-id"])
    assert (execution["state"], execution["trigger"]["verified_by"]) == ("succeeded", scheme)

    plain = shlex.split(send.partition(" --secret ")[0])
    wrong = [part for value in others(server, scheme) for part in ("--secret", value)]
    done = hookline(server, *plain[1:], "--sign", scheme, *wrong, "--json")
    answer = json.loads(done.stdout)
    assert (done.exit_code, answer["status"], answer["scheme"]) == (1, 401, scheme), answer
    done = hookline(server, *plain[1:], "--sign", "none", "--json")
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (1, 401)


#: Credentials with which only the provider can sign, or whose secret is sent: what the command says of it.
UNSIGNABLE = {
    "api-key": "--secret key=value",
    "basic": "--secret key=value",
    "bearer": "--secret key=value",
    "gitlab": "--secret key=value",
    "jwt": "--secret key=value",
    "microsoft-graph": "--secret key=value",
    "discord": "a credential for tests that holds it as `private_key`",
    "paypal": "a credential for tests that holds them as `private_key` and `certificate`",
    "sendgrid": "a credential for tests that holds it as `private_key`",
    "sns": "a credential for tests that holds them as `private_key` and `certificate`",
}


@pytest.mark.parametrize("scheme", UNSIGNABLE)
def test_what_cannot_be_signed_ends_with_2_and_the_remedy(server: ServerProcess, scheme: str) -> None:
    section = SECTIONS[scheme]
    # As for the provider itself: the section's first commands.
    if section.commands[0].startswith("hookline credentials"):
        assert run(server, scheme, section.commands[0], secret(scheme)).exit_code == 0
    (server.folder / "any.json").write_text('{"value": [{}]}')
    done = hookline(server, "send", f"from-{scheme}", "any.json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert UNSIGNABLE[scheme] in done.stderr
    assert secret(scheme) not in done.stderr


def test_all_other_schemes_are_signed_for_by_the_server() -> None:
    given = {name for name, one in SECTIONS.items() if "--secret" in one.commands[-1]}
    assert given | set(OWN_KEYS) == UNSIGNABLE.keys()


def test_a_key_in_the_query_is_sent_there(server: ServerProcess) -> None:
    assert hookline(server, "credentials", "set", "query-key", "--type", "api-key", "key=k-1234567890").exit_code == 0
    done = hookline(server, "send", "query-key", "event.json")
    assert done.exit_code == 2
    assert "--query key=… and --sign none" in done.stderr
    for key, code in (("k-1234567890", 0), ("k-1234567891", 1)):
        done = hookline(server, "send", "query-key", "event.json", "--query", f"key={key}", "--sign", "none")
        assert done.exit_code == code, done.output


def test_trap_11_what_was_accepted_runs_again_without_its_sender_being_judged_again(server: ServerProcess) -> None:
    assert hookline(server, "credentials", "set", "gone", "--type", "stripe", "secret=whsec_topsecret").exit_code == 0
    sent = json.loads(hookline(server, "send", FAILING["id"], "event.json", "--json").stdout)
    execution = server.ended(sent["headers"]["hookline-execution-id"])
    assert (execution["state"], execution["attempt"]) == ("failed", 1)
    assert hookline(server, "credentials", "delete", "gone").exit_code == 0
    # Who sends it now can't be verified; what came before doesn't care.
    status, _ = server.post(FAILING["id"], {})
    assert status == 503
    assert hookline(server, "executions", "retry", execution["id"]).exit_code == 0
    eventually("it has run again", lambda: server.get(f"/api/v1/executions/{execution['id']}")[1]["attempt"] == 2)
    again = server.ended(execution["id"])
    assert (again["error"]["code"], again["trigger"]["verified_by"]) == ("closed", "stripe")


def ask(server: ServerProcess, method: str, scheme: str, query: str, **headers: str) -> tuple[int, Any, str | None]:
    """A handshake that isn't signed: status, body and media type."""
    body = b"" if method == "POST" else None
    status, answer, found = server.request(method, f"/hook/from-{scheme}?{query}", body, headers)
    found = {name.lower(): value for name, value in found.items()}
    assert found.get("x-content-type-options") == "nosniff" or status >= 400
    return status, answer, found.get("content-type")


@pytest.mark.parametrize(
    ("scheme", "method", "query", "echo"),
    [
        ("dropbox", "GET", "challenge=a%3Cb%3E+c", "a<b> c"),
        (
            "meta",
            "GET",
            f"hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token={VERIFY_TOKEN.replace(' ', '+')}",
            1158201444,
        ),
        ("microsoft-graph", "POST", "validationToken=Validation%3A+Testing+client", "Validation: Testing client"),
    ],
)
def test_an_unsigned_handshake_is_echoed_as_text(
    server: ServerProcess, scheme: str, method: str, query: str, echo: Any
) -> None:
    prepared(server, scheme)
    before = len(server.executions(flow_id=f"from-{scheme}"))
    headers = {"Content-Type": "text/plain; charset=utf-8"} if method == "POST" else {}
    assert ask(server, method, scheme, query, **headers) == (200, echo, "text/plain; charset=utf-8")
    # Without what the provider asks, it is a message, which is not signed; and no message comes by GET.
    assert ask(server, method, scheme, "x=1", **headers)[0] == (405 if method == "GET" else 401)
    assert len(server.executions(flow_id=f"from-{scheme}")) == before


def test_meta_gets_no_challenge_back_for_another_token(server: ServerProcess) -> None:
    prepared(server, "meta")
    query = "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=another"
    assert ask(server, "GET", "meta", query)[0] == 401


def test_slacks_check_of_the_certificate_is_answered(server: ServerProcess) -> None:
    prepared(server, "slack")
    assert ask(server, "GET", "slack", "ssl_check=1&token=x")[:2] == (200, None)


def _zoom_proof(token: str) -> str:
    return mac(secret("zoom").encode(), token.encode(), "sha256").hexdigest()


#: Handshakes that are signed: what the provider sends, and what it wants to get.
SIGNED = {
    "discord": ('{"type":1}', 200, {"type": 1}),
    "slack": ('{"token":"x","type":"url_verification","challenge":"3eZbrw1aBm2"}', 200, "3eZbrw1aBm2"),
    "xero": ('{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0m3r4N0m3t3xt"}', 200, None),
    "zoom": (
        '{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"},"event_ts":1654503849680}',
        200,
        {"plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": _zoom_proof("qgg8vlvZRS6UYooatFL8Aw")},
    ),
    "sns": (
        encode(
            {
                "Type": "UnsubscribeConfirmation",
                "Message": "You have chosen to deactivate subscription",
                "Token": "2336412f37",
                "TopicArn": TOPIC,
                "SubscribeURL": "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=2336412f37",
            }
        ).decode(),
        200,
        None,
    ),
}


@pytest.mark.parametrize("scheme", SIGNED)
def test_a_signed_handshake_is_answered_and_a_forged_one_is_401(server: ServerProcess, scheme: str) -> None:
    flow = shlex.split(prepared(server, scheme))[2]
    text, status, body = SIGNED[scheme]
    (server.folder / "handshake.json").write_text(text)
    before = len(server.executions(flow_id=flow))
    done = hookline(server, "send", flow, "handshake.json", "--json")
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["body"]) == (status, body)
    wrong = [part for value in others(server, scheme) for part in ("--secret", value)]
    rejected = json.loads(hookline(server, "send", flow, "handshake.json", *wrong, "--json").stdout)
    assert rejected["status"] == 401
    # Xero wants no body in either answer.
    assert (rejected["body"] is None) == (scheme == "xero")
    assert len(server.executions(flow_id=flow)) == before


def test_a_confirmation_of_sns_that_leads_elsewhere_is_401(server: ServerProcess) -> None:
    flow = shlex.split(prepared(server, "sns"))[2]
    message = decode(SIGNED["sns"][0]) | {
        "Type": "SubscriptionConfirmation",
        "SubscribeURL": f"{server.url}/hook/from-sns?Action=ConfirmSubscription&Token=2336412f37",
    }
    (server.folder / "confirmation.json").write_bytes(encode(message))
    done = hookline(server, "send", flow, "confirmation.json", "--json")
    assert json.loads(done.stdout)["status"] == 401
