"""The admin API's routes about the server as a whole: access, credentials, components, storage and health."""
