"""Drawings of flows: the steps of a document as a chart, and the chart as a tree, as Mermaid, or as SVG."""
