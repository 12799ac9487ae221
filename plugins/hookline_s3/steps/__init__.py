"""The actions and the trigger of the connector `s3`."""
