"""For tests of plugins, flows and the engine itself: suites that a backend must pass, clocks that are set by hand."""
