"""The limit of open files, raised at the start of a server."""

import resource

import pytest
import structlog

from hookline.cli.host.open_files import reserve_files

LOG = structlog.get_logger("hookline")


@pytest.mark.rule(42)
@pytest.mark.parametrize(
    ("soft", "hard", "served", "after"),
    [
        (1024, 1_048_576, 1000, 2124),
        (256, resource.RLIM_INFINITY, 1000, 2124),
        (4096, 4096, 1000, 4096),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 1000, resource.RLIM_INFINITY),
        (256, 1024, 668, 1024),
        (64, 64, 1, 64),
    ],
)
def test_the_limit_is_raised_as_far_as_connections_need_it(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, served: int, after: int
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: limits.append(wanted))
    with structlog.testing.capture_logs() as lines:
        assert reserve_files(1000, LOG) == served
    assert limits[-1] == (after, hard)
    assert len(lines) == (served < 1000)
    assert all(line["needed"] == 2124 and "LimitNOFILE" in line["remedy"] for line in lines)
