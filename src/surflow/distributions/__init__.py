"""Distributions: bases of flows and the stochastic pieces of layers."""
