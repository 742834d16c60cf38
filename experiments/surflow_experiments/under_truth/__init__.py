"""Simulations of figures of merit where it is known what each should give."""
