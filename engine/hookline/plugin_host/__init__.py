"""The only place that runs plugins' code: errors are contained, and plugins get proxies of the engine's parts."""
