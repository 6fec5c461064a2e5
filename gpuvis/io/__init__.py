"""Files of a cache: found, read, checked and written. Nothing here knows of maps."""
