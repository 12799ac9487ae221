"""SQL that finds the flows in a table by an index that begins with their ids."""


def flow_ids(table: str, condition: str = "", *columns: str) -> str:
    """Select the ids of the flows with rows that fulfil a condition, and further columns of `found.flow_id`.

    It goes from one flow to the next by the index, so that the number of rows doesn't matter.
    """
    first = f"SELECT min(flow_id) FROM {table}" + (f" WHERE {condition}" if condition else "")  # noqa: S608 - our own names
    following = f"{first} {'AND' if condition else 'WHERE'} flow_id > found.flow_id"
    return (
        f"WITH RECURSIVE found(flow_id) AS ({first}"  # noqa: S608 - as above
        f" UNION ALL SELECT ({following}) FROM found WHERE found.flow_id IS NOT NULL)"
        f" SELECT {', '.join(('flow_id', *columns))} FROM found WHERE flow_id IS NOT NULL"
    )
