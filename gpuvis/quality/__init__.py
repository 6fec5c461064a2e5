"""Measure how far a map can be trusted. Arrays in, numbers out."""
