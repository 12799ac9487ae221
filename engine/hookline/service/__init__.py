"""The Webhook Service: what answers HTTP."""
