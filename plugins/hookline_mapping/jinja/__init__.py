"""The mapper `jinja`: a sandbox that counts its work."""
