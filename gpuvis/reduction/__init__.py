"""Reduce a matrix to maps. Arrays in, arrays out: no files, no printing."""
