"""The CPU: compiled loops on NumPy arrays, and libraries where they are asked for."""
