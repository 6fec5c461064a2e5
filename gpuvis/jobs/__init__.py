"""Folders become files: what the program does."""
