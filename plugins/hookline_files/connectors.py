"""The two connectors, to which each action's module adds its own."""

from hookline.api import Connector

file = Connector("file", title="Files")
csv = Connector("csv", title="CSV")
