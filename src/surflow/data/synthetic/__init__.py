"""Synthetic data, whose densities are known."""
