"""Which items of a foreach are done: ranges, whatever the order in which they end."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hookline.model.foreach_progress_and_streams import Done


@given(st.permutations(range(40)), st.integers(0, 40))
def test_what_is_done_and_what_is_left_are_all_items(order: list[int], count: int) -> None:
    done = Done()
    for index in order[:count]:
        done.add(index)
    ranges = done.ranges()
    assert [index for start, end in ranges for index in range(start, end)] == sorted(order[:count])
    assert [index for places in done.left(40) for index in places] == sorted(order[count:])
    assert all(index in done for index in order[:count])
    assert not any(index in done for index in order[count:])
    # Ranges that touch are one, so that there are no more than there are gaps.
    assert all(before[1] < after[0] for before, after in pairwise(ranges))
    assert Done(ranges).ranges() == ranges


def test_items_that_end_in_order_are_one_range_however_many() -> None:
    done = Done()
    for index in range(100_000):
        done.add(index)
    assert done.ranges() == ((0, 100_000),)
    assert list(done.left(100_002)) == [range(100_000, 100_002)]
