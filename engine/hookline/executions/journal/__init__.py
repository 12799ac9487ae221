"""The journal of an execution while it runs: its entries, those of the items of a foreach, and what a commit takes."""
