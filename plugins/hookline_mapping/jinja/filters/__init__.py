"""The filters and tests of Jinja expressions."""
