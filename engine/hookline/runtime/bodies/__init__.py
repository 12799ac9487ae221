"""What bytes become, by the media type that they are of: the same for requests and for what brokers deliver."""
