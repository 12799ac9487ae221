"""The writes of deployments, of files for the folder of flows, and of test cases."""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select

from hookline.api_storage import DeployedFlow, Deployment, DeploymentConflict, FileKind, FlowFile, SetCases, WriteFiles
from hookline_sqlstore.column_values import micros, storable
from hookline_sqlstore.portions import portions
from hookline_sqlstore.tables import deployed_flows, deployments, flow_cases, served_flows, unwritten_files


def deploy(connection: Connection, deployment: Deployment) -> None:
    """Change the served flows and keep the deployment. Raises DeploymentConflict."""
    for flows in portions(deployment.flows):
        _serve(connection, deployment.id, flows)
    row = {
        "id": deployment.id,
        "at": micros(deployment.at),
        "author": str(deployment.author),
        "address": deployment.author.address,
        "message": storable(deployment.message),
        "rollback_of": deployment.rollback_of,
    }
    connection.execute(insert(deployments).values(row))


def _serve(connection: Connection, deployment_id: str, flows: Sequence[DeployedFlow]) -> None:
    these = served_flows.c.flow_id.in_([flow.flow_id for flow in flows])
    found = connection.execute(select(served_flows.c.flow_id, served_flows.c.version).where(these).with_for_update())
    before: dict[str, str] = {row.flow_id: row.version for row in found}
    for flow in flows:
        now = before.get(flow.flow_id)
        if now != flow.before:
            state = "isn't served" if now is None else f"is served by version {now}"
            raise DeploymentConflict(f"flow {flow.flow_id!r} {state} now")
    connection.execute(delete(served_flows).where(these))
    rows = [{"flow_id": one.flow_id, "deployment_id": deployment_id, "version": one.version} for one in flows]
    if served := [row for row in rows if row["version"] is not None]:
        connection.execute(insert(served_flows), served)
    deployed = [row | {"before": flow.before} for row, flow in zip(rows, flows, strict=True)]
    connection.execute(insert(deployed_flows), deployed)


def write_files(connection: Connection, change: WriteFiles) -> None:
    """Keep texts until they are in the folder."""
    files_written(connection, [(file.flow_id, file.kind) for file in change.files])
    for file in change.files:
        connection.execute(insert(unwritten_files).values(**_file_row(file), at=micros(change.at)))


def _file_row(file: FlowFile) -> dict[str, object]:
    return {"flow_id": file.flow_id, "kind": file.kind, "replaces": file.replaces, "text": file.text}


def files_written(connection: Connection, files: Iterable[tuple[str, FileKind]]) -> None:
    """Forget the texts of these files."""
    for flow_id, kind in files:
        connection.execute(
            delete(unwritten_files).where(unwritten_files.c.flow_id == flow_id, unwritten_files.c.kind == kind)
        )


def set_cases(connection: Connection, change: SetCases) -> None:
    """Keep or remove the test cases of a flow."""
    connection.execute(delete(flow_cases).where(flow_cases.c.flow_id == change.flow_id))
    if change.text is not None:
        row = {"flow_id": change.flow_id, "updated_at": micros(change.at), "text": change.text}
        connection.execute(insert(flow_cases).values(row))
