"""The command line: the only package that prints, exits, or knows click and rich."""
