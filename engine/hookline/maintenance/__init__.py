"""The limits of the stored data: retention, the disk budget and sweeping; and the rotation of the master key."""
