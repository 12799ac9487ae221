"""Three nodes behind nginx are restarted one by one under load: no request is rejected, nothing is lost or doubled."""

import contextlib
import itertools
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hookline_sqlstore.databases import table_versions
from tests.acceptance.database import query
from tests.acceptance.forked_server import MIGRATIONS, ForkedServer
from tests.acceptance.load import Load
from tests.acceptance.own_nginx import UNBUFFERED, OwnNginx
from tests.acceptance.postgres import postgres_schema
from tests.acceptance.server_process import ServerProcess, eventually
from tests.acceptance.sink import Sink

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300), pytest.mark.promise(1)]

KEY = "mCi7NFMiYYh5HdX_eWYU6aA0JM_tiXOm5SlGpJOcHDs="
NAMES = ("one", "two", "three")
#: Of one node, in the long form; in the short one each is restarted once.
TIMES = 4

_LATER = '''
"""What a later release may add while nodes of this one run: a table, a column and an index."""

import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("later", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("executions", sa.Column("later", sa.Text))
    op.create_index("ix_executions_later", "executions", ["later"])
'''


class Cluster:
    """Three nodes, nginx in front of them, and a service that their flow calls."""

    def __init__(self, folder: Path, database: str, sink: Sink) -> None:
        self.folder, self.database, self.sink = folder, database, sink
        (folder / "flows").mkdir()
        flow = {
            "id": "f",
            "trigger": {"use": "webhook", "with": {"verify": "none", "dedupe_key": "$.body.n"}},
            "vars": {"sink": sink.url},
            "steps": [
                {
                    "id": "call",
                    "use": "http.request",
                    "with": {"method": "POST", "url": "$.vars.sink", "json": "$.body"},
                }
            ],
        }
        (folder / "flows" / "f.json").write_text(json.dumps(flow), encoding="utf-8")
        self.nodes = {name: self._node(name) for name in NAMES}
        self.nginx = OwnNginx(folder, [node.port for node in self.nodes.values()])
        self.sent = 0

    def _node(self, name: str) -> ServerProcess:
        home = self.folder / name
        home.mkdir()
        environment = {
            "HOOKLINE_DB": self.database,
            "HOOKLINE_NODE_NAME": name,
            "HOOKLINE_SECRET_KEY": KEY,
            "HOOKLINE_DRAIN_DELAY": "0.5",
        }
        return ForkedServer(home, "--flows", str(self.folder / "flows"), environment=environment)

    def start(self) -> None:
        """Start those nodes that don't run, and nginx in front of all."""
        first, *others = self.nodes.values()
        if not first.running:
            first.start()
        for node in others:
            if not node.running:
                node.launch()
        for node in others:
            node.eventually("the node is ready", node.is_ready, 60)

    def reload(self, *, settings: str = UNBUFFERED, parameters: str = "", down: tuple[int, ...] = ()) -> None:
        """Give nginx other settings."""
        self.nginx.settings, self.nginx.parameters, self.nginx.down = settings, parameters, down
        self.nginx.reload()

    def answered(self, node: ServerProcess) -> int:
        """How many requests a node has answered, besides those that it rejected."""
        address = f"127.0.0.1:{node.port}"
        return sum(answer[1].endswith(address) and answer[0] in ("200", "202") for answer in self.nginx.answers())

    @contextlib.contextmanager
    def loaded(self) -> Iterator[Load]:
        """Messages come all the time. At the end, each was accepted, and has run once."""
        load = Load(self.nginx, "/hook/f", itertools.count(self.sent + 1), senders=4, pause=0.06, keeps=False)
        load.start()
        try:
            eventually("messages are accepted", lambda: len(load.accepted) >= 20)
            yield load
        finally:
            load.stop()
        self.sent = max(load.accepted)
        assert (load.failed, load.rejected) == ([], [])
        self.check(load)

    def check(self, load: Load) -> None:
        """Each message of the load has one execution, which has succeeded and has called the service once."""
        ids = {answer["execution_id"] for answer in load.accepted.values()}
        assert len(ids) == len(load.accepted)
        node = self.nodes["one"]
        eventually("every execution has ended", node.drained, 60)
        states = dict(query(self.database, "SELECT id, state FROM executions"))
        assert ids <= states.keys()
        assert len(states) == self.sent, "one for each message that was ever sent"
        assert set(states.values()) == {"succeeded"}
        assert Counter(one.body["n"] for one in self.sink.received) == dict.fromkeys(range(1, self.sent + 1), 1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with contextlib.ExitStack() as stack:
        sink = Sink()
        sink.start()
        stack.callback(sink.stop)
        database = stack.enter_context(postgres_schema())
        cluster = Cluster(tmp_path_factory.mktemp("cluster"), database, sink)
        stack.enter_context(cluster.nginx)
        yield cluster
        for node in cluster.nodes.values():
            if node.running:
                node.kill()


@pytest.fixture
def cluster(shared: Cluster) -> Cluster:
    shared.start()
    shared.reload()
    return shared


def restart(node: ServerProcess) -> None:
    """Stop a node in order, and start it again."""
    assert node.stop() == 0
    node.start()


def restart_behind_reloads(cluster: Cluster, times: int, restarted: Callable[[ServerProcess], None] = restart) -> None:
    """Take each node out of nginx before it is restarted."""
    for _ in range(times):
        for node in cluster.nodes.values():
            cluster.reload(down=(node.port,))
            restarted(node)
            cluster.reload()
            before = cluster.answered(node)
            eventually("it takes requests again", lambda: cluster.answered(node) > before)  # noqa: B023


def restart_without_reloads(cluster: Cluster, times: int) -> None:
    """Let nginx find out by itself that a node is gone, and send its requests to others."""
    # A 503 of one flow takes no node out. A node must be back before the next one is stopped.
    cluster.reload(settings="proxy_next_upstream error timeout http_503 non_idempotent;", parameters="max_fails=0")
    for _ in range(times):
        for node in cluster.nodes.values():
            restart(node)
            before = cluster.answered(node)
            eventually("it takes requests again", lambda: cluster.answered(node) > before)  # noqa: B023


@pytest.mark.long  # by default, the test of a migration takes each node out too
@pytest.mark.cluster_rule("C5")
def test_no_request_is_rejected_if_each_node_is_taken_out_of_nginx_first(cluster: Cluster) -> None:
    with cluster.loaded():
        restart_behind_reloads(cluster, 1)


@pytest.mark.cluster_rule("C5")
def test_no_request_is_rejected_if_nginx_sends_rejected_ones_to_another_node(cluster: Cluster) -> None:
    with cluster.loaded():
        restart_without_reloads(cluster, 1)
    assert any("," in answer[1] for answer in cluster.nginx.answers()), "no request was sent to another node"


@pytest.mark.long
@pytest.mark.cluster_rule("C5")
def test_no_request_is_rejected_however_often_nodes_are_restarted(cluster: Cluster) -> None:
    with cluster.loaded():
        restart_behind_reloads(cluster, TIMES)
        restart_without_reloads(cluster, TIMES)


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """The migrations of a later release."""
    folder = tmp_path / "migrations"
    shutil.copytree(table_versions._MIGRATIONS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_later.py").write_text(_LATER.format(head=table_versions.latest()), encoding="utf-8")
    return folder


@pytest.mark.cluster_rule("C5")
def test_no_request_is_rejected_across_a_migration_that_adds(
    cluster: Cluster, later: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last test of the file: nodes of this release can't be started afterwards."""
    with monkeypatch.context() as patch, cluster.loaded() as load:
        patch.setattr(table_versions, "_MIGRATIONS", later)
        said = cluster.nodes["one"].run("db", "upgrade").output
        assert "upgraded from version" in said
        accepted = len(load.accepted)
        eventually("nodes of the earlier release go on", lambda: len(load.accepted) > accepted + 50)

        def upgraded(node: ServerProcess) -> None:
            assert node.stop() == 0
            node.set(MIGRATIONS, str(later))
            node.start()

        restart_behind_reloads(cluster, 1, upgraded)
