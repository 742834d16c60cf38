"""Experiments: each reproduces a group of figures."""
