"""The admin API's routes about flows: listing, changing and deploying them, and trying documents before that."""
