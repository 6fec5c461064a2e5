"""A matrix becomes its maps. Arrays in, arrays out: no files, no printing."""
