"""What the admin API and the command line show: frozen records, which `hookline.kernel.json.encode` writes."""
