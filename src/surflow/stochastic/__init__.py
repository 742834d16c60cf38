"""Stochastic layers: both directions draw."""
