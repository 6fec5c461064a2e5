"""What a run leaves on disk, and whether it is up to date."""
