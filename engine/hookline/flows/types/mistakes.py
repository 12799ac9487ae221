"""Everything that is found by following what is known of a flow's message through its steps."""

from hookline.errors import Problem
from hookline.flows.compiled import CompiledFlow
from hookline.flows.types.answers import answer_problems
from hookline.flows.types.exposed import exposed
from hookline.flows.types.fit import fit_problems
from hookline.flows.types.references import reference_problems
from hookline.flows.types.repeats import repeat_problems
from hookline.flows.types.samples import NO_SAMPLES, Samples
from hookline.flows.types.unreachable import unreachable
from hookline.flows.types.walk import walk


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
