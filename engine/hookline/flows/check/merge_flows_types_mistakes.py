"""Everything that is found by following what is known of a flow's message through its steps."""

from hookline.flows.check.flow_analysis import walk
from hookline.flows.check.references import reference_problems
from hookline.flows.check.replies import answer_problems
from hookline.flows.check.secret_exposure import exposed
from hookline.flows.check.type_mismatch import fit_problems
from hookline.flows.check.unreachable import unreachable
from hookline.flows.check.unsafe_retry import repeat_problems
from hookline.flows.compiler.compiled import CompiledFlow
from hookline.flows.types.samples import NO_SAMPLES, Samples
from hookline.kernel.errors import Problem


def mistakes(flow: CompiledFlow, samples: Samples = NO_SAMPLES) -> list[Problem]:
    """What is wrong with a flow that compiles. An error is certain: such a step fails whenever it gets there."""
    walked = walk(flow, samples)
    return [
        *reference_problems(walked),
        *fit_problems(walked, flow.vars),
        *unreachable(walked),
        *answer_problems(flow, walked),
        *repeat_problems(walked),
        *exposed(walked),
    ]
