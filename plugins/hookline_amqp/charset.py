"""The content encoding of an AMQP message, which many senders use for the name of a charset."""

import codecs


def charset_of(encoding: str) -> str | None:
    """The charset that it names; None where it is a real encoding, such as `gzip`."""
    try:
        codec = codecs.lookup(encoding)
        "a".encode(codec.name)
    except (LookupError, ValueError):
        return None
    return codec.name
