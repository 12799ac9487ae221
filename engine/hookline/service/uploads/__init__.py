"""Reading the bodies of requests: decompression, multipart forms and files."""
