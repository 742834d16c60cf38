"""Saved flows: architectures as plain data, files without pickle, and the budget of a stranger's file."""
