"""What the admin API and the command line show: frozen records, which `hookline.jsontypes.encode` writes."""
