"""Parts of a flow that both steps and triggers have: expressions, their scope, settings, keys and verification."""
