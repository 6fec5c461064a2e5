"""The CPU backend: its plan, neighbour search, layouts and compiled loops."""
