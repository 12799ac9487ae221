"""The parts that schemes are made of."""
