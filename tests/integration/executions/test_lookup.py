"""What a step has looked up stays what it was, whatever becomes of the file."""

from pathlib import Path

from tests.integration.engine_harness import Hang, Harness, act

from hookline.model.execution import State


async def test_a_resumed_execution_goes_on_with_what_it_had_found(tmp_path: Path) -> None:
    harness = Harness(tmp_path)
    files = tmp_path / "files"
    prices = files / "prices.csv"
    prices.write_text("sku,price\na,1\n")
    looking = {"id": "price", "use": "lookup", "with": {"key": "$.body", "file": "prices.csv", "gives": "price"}}
    harness.flow("f", [looking, act("under_way", "$.body"), act("last", "$.steps.price.body")])
    harness.probe.does["under_way"] = hang = Hang()
    async with harness.engine(files_root=files) as engine:
        execution_id = await harness.send(engine, "f", "a")
        await hang.reached.wait()
    prices.write_text("sku,price\na,222\n")
    del harness.probe.does["under_way"]
    async with harness.engine(files_root=files) as engine:
        execution = await harness.advance_until(engine, execution_id)
        assert execution.state is State.SUCCEEDED
        assert [call[3] for call in harness.probe.calls if call[0] == "last"] == ["1"]
        later = await harness.send(engine, "f", "a")
        await harness.advance_until(engine, later)
    assert [call[3] for call in harness.probe.calls if call[0] == "last"] == ["1", "222"]
