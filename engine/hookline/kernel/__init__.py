"""The parts that every other room uses and that use no other room: errors, JSON, time, ids and similar."""
