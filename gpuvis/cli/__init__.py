"""The command line: the only room that prints, exits, or knows click and rich."""
