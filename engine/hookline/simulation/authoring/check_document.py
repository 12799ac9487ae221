"""Checking a document that isn't served yet."""

from typing import Final

from hookline.discovery.registry import Registry
from hookline.flows.check.check_flow import check_flow
from hookline.flows.check.step_scopes import StepScope, step_scopes
from hookline.flows.types.sample_shapes import read_samples
from hookline.kernel.json import decode
from hookline.simulation.authoring.jobs import CheckJob, CheckResult

MAX_PROBLEMS: Final = 1000
"""The most problems in a result."""
_MAX_SCOPES: Final = 2_000_000
"""The most characters of types in a result; a step sees all steps before it, so the characters grow with the square of
the number of steps."""


def check_document(job: CheckJob, registry: Registry) -> CheckResult:
    """Find the problems of a document; if it can be compiled, also the types in scope at each step."""
    samples = read_samples(decode(job.cases))
    checked = check_flow(
        job.document.source,
        registry,
        job.credentials,
        flows=job.flows,
        environment=job.document.environment,
        unverified=job.unverified,
        public_url=job.public_url,
        samples=samples,
    )
    problems = tuple(checked.problems[:MAX_PROBLEMS])
    more = len(checked.problems) > MAX_PROBLEMS
    if checked.flow is None:
        return CheckResult(problems, (), more)
    scopes: list[StepScope] = []
    left = _MAX_SCOPES
    for one in step_scopes(checked.flow, samples, only_changes=job.only_changes):
        left -= sum(len(path) + len(shape) for path, shape in one.scope.items())
        if left < 0:
            return CheckResult(problems, tuple(scopes), more, more_steps=True)
        scopes.append(one)
    return CheckResult(problems, tuple(scopes), more)
