"""The admin API's routes about executions: which there are, what they did, and where a value comes from."""

from quart import Blueprint, Response

from hookline.engine import Engine
from hookline.kernel.errors import ExecutionNotFound, Malformed
from hookline.operations.explain import Explained, explain
from hookline.service.admin.merge_service_admin_filters import FILTERS, chosen_by
from hookline.service.admin.openapi import operation
from hookline.service.admin.requests import PAGE, answer, limit_of, paged, query
from hookline.service.views.executions import ExecutionView, SummaryView, execution_view, page_view, steps_view
from hookline.service.views.pages import PageView
from hookline.service.views.steps import StepView


def add_executions(api: Blueprint, engine: Engine) -> None:
    """Add the routes."""

    @api.get("/executions")
    @operation(
        PageView[SummaryView],
        query={**FILTERS, **PAGE},
    )
    async def list_executions() -> Response:
        """Executions, newest first."""
        given = query(*FILTERS, "cursor", "limit")
        page = await paged(
            engine.store.executions(**chosen_by(given), cursor=given.get("cursor"), limit=limit_of(given.get("limit")))
        )
        return answer(page_view(page))

    @api.get("/executions/<execution_id>")
    @operation(ExecutionView)
    async def get_execution(execution_id: str) -> Response:
        """An execution with the latest attempt at each of its steps."""
        view = await execution_view(engine.store, execution_id, engine.resume_url)
        if view is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        return answer(view)

    @api.get("/executions/<execution_id>/steps")
    @operation(PageView[StepView], query=PAGE)
    async def list_steps(execution_id: str) -> Response:
        """Each attempt at each step of an execution, in order."""
        given = query("cursor", "limit")
        if await engine.store.execution(execution_id) is None:
            raise ExecutionNotFound(f"there is no execution {execution_id!r}")
        limit = limit_of(given.get("limit"))
        return answer(await paged(steps_view(engine.store, execution_id, given.get("cursor"), limit)))

    @api.get("/executions/<execution_id>/provenance")
    @operation(Explained, query={"field": "`steps.invoice.body.amount`, say, or `body.amount` of what it ended with."})
    async def explain_field(execution_id: str) -> Response:
        """Where a value comes from: the expression that made it, what that read, and so on to what came in."""
        field = query("field").get("field")
        if field is None:
            raise Malformed("field says of which value: steps.<id>.body.<key>, or body.<key> of what it ended with.")
        return answer(await explain(engine.store, engine.catalog, execution_id, field))
