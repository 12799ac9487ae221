"""JetStream keeps the contract of intake queues."""

from hookline.testing.contracts.intake_queue import IntakeQueueContract


class TestJetStream(IntakeQueueContract):
    """On one server; the fixtures are those of this folder."""
