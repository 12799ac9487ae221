"""The process that does the jobs of authors: `python -m hookline.simulation.authoring.worker`.

Jobs and results are MessagePack. The process has a memory limit, and ends itself if a job takes too long, even if its
parent is gone.
"""

import signal
import sys
from pathlib import Path
from typing import Final

import msgspec

from hookline.discovery.plugin_loader import load_plugins
from hookline.discovery.registry import Registry
from hookline.flows.authoring.flow_difference import flow_differences
from hookline.flows.authoring.formatter import format_flow
from hookline.kernel.errors import FlowInvalid, HooklineError
from hookline.kernel.json import decode, encode
from hookline.plugin_host.process_pool import limit_memory, prepare_process, serve
from hookline.simulation.authoring.check_document import check_document
from hookline.simulation.authoring.cut_document import parse_document
from hookline.simulation.authoring.evaluate_expression import evaluate_expression
from hookline.simulation.authoring.evaluate_step import evaluate_step
from hookline.simulation.authoring.expression_cache import remembering
from hookline.simulation.authoring.jobs import (
    OUT_OF_MEMORY,
    BacktestJob,
    BacktestResult,
    CaseJob,
    CaseMade,
    CheckJob,
    CompareJob,
    CompareResult,
    EvaluateJob,
    EvaluateStepJob,
    Failure,
    FormatJob,
    FormatResult,
    Job,
    JobResult,
    RunCasesJob,
    TryJob,
)
from hookline.simulation.authoring.run_cases import run_cases
from hookline.simulation.authoring.try_document import compile_given, try_document
from hookline.simulation.authoring.undeclared_effects import deny_effects
from hookline.simulation.case_run import open_runner
from hookline.simulation.recordings.backtest import backtest
from hookline.simulation.recordings.recorded_case import recorded_case

MAX_RESULT: Final = 32_000_000
"""The largest result, in bytes."""

_decoder = msgspec.msgpack.Decoder[Job](Job)


def work(job: Job, registry: Registry) -> JobResult:
    """Do a job. Errors in the document, or in the data of the job, are returned as a `Failure`."""
    try:
        match job:
            case CheckJob():
                return check_document(job, registry)
            case EvaluateJob():
                return evaluate_expression(job, registry)
            case EvaluateStepJob():
                return evaluate_step(job, registry)
            case TryJob():
                return try_document(job, registry)
            case BacktestJob():
                flow = compile_given(job.document, registry)
                recordings = (decode(one, exact=True) for one in job.recordings)
                return BacktestResult(encode(backtest(flow, recordings, registry, None)))
            case CaseJob():
                return _case(job, registry)
            case FormatJob(source):
                return FormatResult(format_flow(parse_document(source)))
            case CompareJob(old, new):
                return CompareResult(tuple(flow_differences(parse_document(old), parse_document(new))))
            case RunCasesJob():
                return run_cases(job, registry)
    except FlowInvalid as error:
        return Failure("invalid", error.message, error.problems[:1000])
    except (HooklineError, ValueError) as error:
        return Failure("invalid", str(error))
    except RecursionError:
        return Failure("limit", "the document is nested too deeply")
    except MemoryError:
        return OUT_OF_MEMORY


def _case(job: CaseJob, registry: Registry) -> CaseMade:
    flow = compile_given(job.document, registry)
    with open_runner(registry) as runner:
        made = recorded_case(flow, decode(job.recording, exact=True), job.name, runner, registry, None)
    return CaseMade(encode(made.case), made.left_out)


def exchange(job: bytes, registry: Registry) -> bytes:
    """Do a packed job, and return its packed result."""
    result = msgspec.msgpack.encode(work(_decoder.decode(job), registry))
    if len(result) > MAX_RESULT:
        return msgspec.msgpack.encode(Failure("limit", "the result is too large"))
    return result


def main() -> None:
    """Serve. The arguments: seconds for each job, bytes of memory, and the folder for files."""
    seconds, memory, folder = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with prepare_process(folder) as results:
        registry = remembering(load_plugins())
        limit_memory(memory)
        deny_effects(Path(folder))

        def work(job: bytes) -> bytes:
            # The default action of the signal ends the process, whatever it is doing.
            signal.setitimer(signal.ITIMER_REAL, seconds)
            result = exchange(job, registry)
            signal.setitimer(signal.ITIMER_REAL, 0)
            return result

        serve(results, work)


if __name__ == "__main__":
    main()
