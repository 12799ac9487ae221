"""The checker: `hookline check` compiles a flow, analyses its types, and applies one rule for each kind of problem."""
