"""Find, read, check and write the files of a cache. Nothing here knows about maps."""
