"""Finding installed plugins, describing them and diagnosing them."""
