"""Running the cases of a document that isn't served yet, and the steps and branches that they reach."""

from collections.abc import Sequence

from hookline.discovery.registry import Registry
from hookline.flows.compiler.compiled_flow import CompiledFlow
from hookline.flows.documents.read import read
from hookline.kernel.errors import FlowInvalid, Problem
from hookline.kernel.suggestions_and_counts import did_you_mean, listed
from hookline.simulation.authoring.jobs import CasesRun, NotReached, RanCase, RunCasesJob
from hookline.simulation.authoring.try_document import compile_given
from hookline.simulation.case_run import CaseResult, open_runner
from hookline.simulation.cases import Case, check_names, parse_cases
from hookline.simulation.coverage import coverage


def run_cases(job: RunCasesJob, registry: Registry) -> CasesRun:
    """Run the cases of a document. Raises FlowInvalid if the document or a case has errors."""
    flow = compile_given(job.document, registry)
    cases = _cases(job, flow)
    known = [case.name for case in cases]
    for name in job.names or ():
        if name not in known:
            remedy = did_you_mean(name, known, listed("the cases are", known))
            raise FlowInvalid([Problem(f"there is no case {name!r}", "/cases", remedy=remedy)])
    with open_runner(registry) as runner:
        results = [runner.run(flow, case, None) for case in cases if job.names is None or case.name in job.names]
    covered = coverage(flow, None, [result.steps for result in results])
    missed = tuple(NotReached(one.what, one.pointer) for one in covered.missed)
    return CasesRun(tuple(map(_ran, results)), covered.reached, covered.total, missed)


def _cases(job: RunCasesJob, flow: CompiledFlow) -> Sequence[Case]:
    """The cases of a job; there may be none yet. Raises FlowInvalid."""
    document = read(job.cases)
    if document.value == {"cases": []}:
        return ()
    file = parse_cases(job.cases, exact=flow.exact)
    if wrong := check_names(file, flow, document):
        raise FlowInvalid(wrong)
    return file.cases


def _ran(result: CaseResult) -> RanCase:
    return RanCase(
        result.name,
        None if result.outcome is None else result.outcome.value,
        result.error,
        result.differences,
        result.path,
        result.took.total_seconds(),
    )
