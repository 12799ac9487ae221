"""The Webhook Service: everything that answers HTTP."""
