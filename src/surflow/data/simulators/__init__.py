"""Simulators, whose posteriors are known."""
