"""Bijections: V is the log-determinant of the Jacobian."""
