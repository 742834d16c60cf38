"""Surjections: deterministic in one direction, drawing in the other."""
