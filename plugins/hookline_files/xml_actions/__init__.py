"""The connector `xml`."""
