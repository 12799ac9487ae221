"""The mapper `jmespath`."""
