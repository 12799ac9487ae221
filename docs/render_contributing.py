"""The lists of files in CONTRIBUTING.md: where an example of each kind of addition stands, found by looking for it."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Addition:
    """One kind of addition, with something that was added as its example."""

    example: str
    """A regular expression that finds the example."""
    roles: dict[str, str]
    """From each file, or folder, to what is added to it; all files that the example is found in, and no others."""
    elsewhere: tuple[str, ...] = ()
    """The files, and folders, in which the example is only used, or its word means another thing; each has it."""


_PAGES: Final = {
    "docs/reference/": "generated: `tox run -e docs -- -r`",
    "flows/flow.schema.json": "generated: `hookline schema --output flows/flow.schema.json`",
}
_DESCRIBED: Final = "generated: `hookline plugins describe`, so that the plugin can be read about without running it"

_IN_FORMS: Final = {
    "plugins/hookline_console/web/src/credentials/credential_types.json": "generated: `python docs/render_console.py`, "
    "so that the console's form for its credential is tested",
}

ADDITIONS: Final = {
    "setting": Addition(
        r"\bmax_backlog_total\b",
        {
            "engine/hookline/server_settings.py": "the field, with its default and its description",
            "engine/hookline/engine_options.py": "the same for an engine, which knows of no files and variables",
            "engine/hookline/cli/options_from_settings.py": "from the one to the other",
            "engine/hookline/engine.py": "passed to the part that needs it",
            "engine/hookline/intake/backlog.py": "that part",
            "docs/reference/settings.md": "generated: `tox run -e docs -- -r`",
            "tests/unit/intake/": "its effect on that part",
            "tests/integration/engine/": "its effect on an engine",
        },
        elsewhere=(
            "docs/how-to/ordering-rate-limits-backpressure.md",
            "docs/how-to/receive-from-brokers.md",
            "docs/reference/nodes.md",
        ),
    ),
    "action": Addition(
        r"\bpost_ephemeral\b",
        {
            "plugins/hookline_slack/messages.py": "an async function with `@slack.action`; its signature is its schema",
            "plugins/hookline_slack/hookline-plugin.json": _DESCRIBED,
            **_PAGES,
            "tests/integration/plugins/test_slack.py": "a call for the connector's contract, and what is special to it",
        },
    ),
    "connector": Addition(
        r"\bhookline_mqtt\b|\bmqtt\b",
        {
            "plugins/hookline_mqtt/": "the package; `hookline new plugin` begins one",
            "pyproject.toml": "its entry point, package and extra, and its place in the import rules",
            "tox.ini": "its extra",
            "docs/pages.txt": "its page",
            **_PAGES,
            **_IN_FORMS,
            "tests/integration/plugins/brokers/": "its contract, and its actions against a real broker",
            "tests/acceptance/test_broker_kills.py": "a kill at each commit of its trigger",
            "tests/integration/outbound/test_connectors_egress.py": "its line, if it has its own client: it reaches no "
            "address inside the network",
            "docs/how-to/receive-from-brokers.md": "how to use it",
            "tests/unit/test_package.py": "its extra, if it has one, whose packages may be imported",
            "tests/growth/things/actions.py": "its actions, if they leave the work to the service",
        },
        elsewhere=(
            "docs/how-to/nats-cluster.md",
            "docs/how-to/schedules-polling-manual-starts.md",
            "tests/unit/discovery/test_without_connectors.py",
        ),
    ),
    "scheme": Addition(
        r"\blinear\b",
        {
            "plugins/hookline_signatures/shared_secret/linear.py": "the scheme, its credential and its settings",
            "plugins/hookline_signatures/__init__.py": "the hook that returns it",
            "plugins/hookline_signatures/hookline-plugin.json": _DESCRIBED,
            **_PAGES,
            **_IN_FORMS,
            "docs/how-to/": "generated: how to receive from the provider",
            "tests/unit/plugins/signatures/": "recorded requests, and its contract",
            "tests/unit/service/": "the traps that every scheme has to avoid, and signing",
            "tests/integration/cli/test_send.py": "`hookline send` signs by it",
            "tests/acceptance/hostile_senders.py": "its line, if it reads the body",
            "docs/pages.txt": "its page",
        },
        elsewhere=("docs/discussion/bounded-work.md", "plugins/hookline_console/web/src/executions/waterfall.css"),
    ),
    "block": Addition(
        r"\bParallelStep\b|\bCompiledParallel\b|\brun_parallel\b|"
        r"\"parallel\"|\bparallel: [\[{]|/parallel/|`parallel`|\bwrapParallel\b",
        {
            "engine/hookline/model/flow.py": "its document: the keys that it may have, each with a description",
            "engine/hookline/flows/blocks/parallel.py": "its compiled form, and the function that compiles it",
            "engine/hookline/flows/blocks/__init__.py": "its entry in the table of blocks",
            "engine/hookline/flows/blocks/batch.py": "if a `batch` may not stand in it: the reason",
            "engine/hookline/flows/compiler/step_positions.py": "which of its steps run before which",
            "engine/hookline/flows/check/": "what the checker knows after it",
            "engine/hookline/flows/flow_provenance.py": "where the values that it gives come from",
            "engine/hookline/flows/authoring/formatter.py": "the keys of its steps, which come last",
            "engine/hookline/flows/authoring/flow_difference.py": "its lists of steps, and how two such blocks differ",
            "engine/hookline/flows/graph/": "how it is drawn",
            "engine/hookline/executions/blocks/parallel.py": "the function that runs it",
            "engine/hookline/executions/blocks/run_steps.py": "its entry in the table of functions",
            "engine/hookline/deployments/journal_dry_run.py": "how a dry run passes it",
            "engine/hookline/simulation/": "its branches, for the coverage of cases, and that it takes no stub",
            "flows/flow.schema.json": "generated: `hookline schema --output flows/flow.schema.json`",
            "docs/how-to/parallel-branches.md": "how to use it",
            "docs/how-to/write-a-flow-in-the-console.md": "the key that wraps steps in it",
            "docs/reference/flows.md": "what its keys mean, and what it gives",
            "docs/reference/contract.md": "the rules for it",
            "docs/reference/glossary.md": "its key, beside those of the other blocks",
            "plugins/hookline_console/web/src/document/": "the keys of its steps, and wrapping steps in it",
            "plugins/hookline_console/web/src/blocks/": "its place in a step's menu, and where it takes steps",
            "plugins/hookline_console/web/src/picture/": "how the console draws and describes it",
            "plugins/hookline_console/web/src/executions/": "the steps in it, on the page of an execution",
            "plugins/hookline_console/web/src/trying/tried_run.ts": "that it takes no stub",
            "plugins/hookline_console/web/src/texts/en.ts": "its texts",
            "tests/unit/flows/": "compiling, checking, formatting, comparing and drawing it",
            "tests/unit/simulation/test_cases.py": "its coverage",
            "tests/integration/executions/": "what it does, also when it fails, is cancelled or is resumed",
            "tests/integration/flows/check/test_types_hold.py": "flows with it whose results have the checked types",
            "tests/integration/flow_reference.py": "what it does by the rules of the language alone",
            "tests/integration/random_flows.py": "random flows with it, which run with kills",
            "tests/integration/operations/": "the provenance of its values, and a replay from a step in it",
            "tests/integration/deployments/test_migration.py": "moving an execution that waits in it",
        },
        elsewhere=(
            "docs/discussion/delivery.md",
            "docs/how-to/batching.md",
            "docs/how-to/inspect-executions.md",
            "docs/how-to/look-at-flows.md",
            "docs/how-to/retry-and-replay.md",
            "plugins/hookline_console/web/src/forms/fields.test.ts",
            "tests/acceptance/",
            "tests/browser/test_forms.py",
            "tests/chaos/flows/orders.json",
            "tests/integration/deployments/test_required_verification.py",
            "tests/integration/engine/",
        ),
    ),
    "change": Addition(
        r"\bOverrideState\b",
        {
            "engine/hookline/storage/change_declarations.py": "the frozen record, once, with what it returns",
            "engine/hookline/api_storage.py": "its name, for backends",
            "plugins/hookline_sqlstore/": "how SQL commits it",
            "engine/hookline/testing/contracts/store/": "what every store has to do with it",
            "engine/hookline/testing/contracts/cluster.py": "that the other nodes adopt it, if they have to",
            "engine/hookline/catalog/versions_and_states.py": "the part that commits it",
            "tests/unit/plugins/sqlstore/": "the plan by which a database finds its rows",
            "tests/integration/service/admin/test_audit.py": "the route that makes it, or that only the engine does",
            "docs/how-to/write-a-backend.md": "generated: its line in the list of changes",
        },
    ),
    "endpoint": Addition(
        r"/provenance\b",
        {
            "engine/hookline/service/admin/executions/executions.py": "the route, its description and its views",
            "docs/reference/admin-api.md": "its line in the reference",
            "docs/reference/glossary.md": "its path, if its word is a new one",
            "plugins/hookline_console/web/": "generated: the console's client (`npm run api`)",
            "tests/integration/service/admin/test_admin.py": "a request to it; each answer is checked against OpenAPI",
        },
    ),
    "page": Addition(
        r'storage/Storage"|\btexts\.pages\.storage\b|storage: "Storage"|"/storage", "Storage"',
        {
            "plugins/hookline_console/web/src/storage/": "a folder for its subject: the page with its styles, and pure "
            "functions with tests, which compute what it shows",
            "plugins/hookline_console/web/src/shell/pages.ts": "its path, and its place in the navigation",
            "plugins/hookline_console/web/src/texts/en.ts": "all its texts",
            "tests/browser/test_pages.py": "its line: it is accessible in both themes, and fits a narrow screen",
            "tests/benchmarks/large/browsing.py": "its line: it can be used at once on a server with a long history",
        },
    ),
    "command": Addition(
        r"cli\.operate\.storage\b|\bhookline storage\b|\bdef storage\b|"
        r"^    \"storage\",|\[\"storage\"[],]|\.both\(\"storage\"",
        {
            "engine/hookline/cli/main.py": "its name and its line in `--help`",
            "engine/hookline/cli/operate/storage.py": "the command, a client of the admin API",
            "docs/reference/command-line.md": "generated: `tox run -e docs -- -r`",
            "docs/how-to/retention-and-disk-budget.md": "how to use it, on the page of its subject",
            "tests/integration/maintenance/test_retention.py": "its output, also with `--json`, beside its subject",
            "tests/integration/cli/test_same_everywhere.py": "its line: it says the same from another machine",
            "tests/integration/cli/test_first_commands.py": "its line, if it needs a database: it creates none",
        },
        elsewhere=("plugins/hookline_console/__init__.py",),
    ),
}


def files(name: str) -> str:
    """The table of an addition. Raises ValueError unless its files are exactly those that have the example."""
    addition = ADDITIONS[name]
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, check=True)  # noqa: S607 - git of the path
    found = [file for file in listed.stdout.decode().splitlines() if _has(ROOT / file, addition)]
    places = [*addition.roles, *addition.elsewhere]
    missing = [file for file in found if not any(_is_in(file, place) for place in places)]
    gone = [place for place in places if not any(_is_in(file, place) for file in found)]
    if missing or gone:
        raise ValueError(f"{name}: no role for {missing}; not found in {gone}")
    lines = [f"| `{file}` | {role} |" for file, role in addition.roles.items()]
    return "\n".join(["| file | what is added |", "| --- | --- |", *lines])


def _is_in(file: str, place: str) -> bool:
    return file == place or (place.endswith("/") and file.startswith(place))


def _has(path: Path, addition: Addition) -> bool:
    file = str(path.relative_to(ROOT))
    if file.startswith(("changes/", "docs/render")) or file == "CONTRIBUTING.md":
        return False
    try:
        return re.search(addition.example, path.read_text(encoding="utf-8"), re.MULTILINE) is not None
    except (UnicodeDecodeError, FileNotFoundError):
        return False
