"""Static types: the shapes of the values in a flow, as far as they are known before it runs."""
