"""Readers of files and of data that are found by name."""
