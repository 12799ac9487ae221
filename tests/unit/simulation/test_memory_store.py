"""The store in memory, in which cases run, does what the published suite says of as much as it has."""

from types import SimpleNamespace
from typing import Any

import pytest

from hookline.simulation.memory_store import MemoryStore
from hookline.testing.clock import ManualClock
from hookline.testing.contracts.store.accepting import CommitsContract
from hookline.testing.contracts.store.batches import BatchesContract
from hookline.testing.contracts.store.callbacks import CallbacksContract
from hookline.testing.contracts.store.flows import FlowValuesContract
from hookline.testing.contracts.store.journal_and_items import ItemsContract, JournalContract
from hookline.testing.contracts.store.states_and_ends import EndsContract


class _InMemory:
    @pytest.fixture
    def clock(self) -> ManualClock:
        return ManualClock()

    @pytest.fixture
    def backend(self) -> Any:
        return SimpleNamespace(store=MemoryStore())


class TestEnds(_InMemory, EndsContract):
    pass


class TestCommits(_InMemory, CommitsContract):
    # No operator is there, no message has a key, and nothing is counted.
    test_one_batchs_failure_never_fails_anothers = None  # type: ignore[assignment]
    test_changes_of_one_batch_take_place_in_order = None  # type: ignore[assignment]
    test_a_ping_returns = None  # type: ignore[assignment]


class TestJournal(_InMemory, JournalContract):
    # Nothing is swept: what is referred to is of no interest.
    test_blobs_of_messages_and_results_are_referred_to = None  # type: ignore[assignment]


class TestItems(_InMemory, ItemsContract):
    test_a_streams_blob_is_referred_to = None  # type: ignore[assignment]


class TestFlowValues(_InMemory, FlowValuesContract):
    # A simulation has no list of state, and no source that keeps a cursor.
    test_what_a_flow_keeps_is_listed_by_key_in_pages = None  # type: ignore[assignment]
    test_a_flow_has_the_cursor_that_was_set_last = None  # type: ignore[assignment]


class TestBatches(_InMemory, BatchesContract):
    # Nothing is purged or swept, and no key is rotated.
    test_the_bodies_of_all_batches_are_paged_and_replaced_only_where_they_are_what_they_were = None  # type: ignore[assignment]
    test_the_leader_refers_to_the_files_of_all = None  # type: ignore[assignment]
    test_what_was_gathered_is_purged_with_the_leader = None  # type: ignore[assignment]


class TestCallbacks(_InMemory, CallbacksContract):
    # Calls name their steps: there are no keys, and nothing is given up with age or encrypted again.
    test_of_early_calls_by_url_and_by_key_the_step_takes_that_by_url_and_another_step_the_other = None  # type: ignore[assignment]
    test_callbacks_to_come_are_paged_and_replaced_only_where_they_are_what_they_were = None  # type: ignore[assignment]
    test_a_key_finds_the_execution_that_has_asked_for_it_longest = None  # type: ignore[assignment]
    test_what_comes_early_is_kept_with_its_files_for_the_step_that_asks = None  # type: ignore[assignment]
    test_what_comes_too_early_is_given_up_with_its_files = None  # type: ignore[assignment]
    test_early_calls_of_a_step_are_bounded_until_some_are_given_up = None  # type: ignore[assignment]
    test_what_came_for_executions_that_ended_before_a_time_is_given_up = None  # type: ignore[assignment]
