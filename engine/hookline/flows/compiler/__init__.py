"""The compiler: turns a flow's document into a compiled flow, or into a list of problems."""
