"""Flows: chains of transforms with a base, and the gradients of their bounds."""

from surflow.flow.flow import ContextNet, Flow, Term

__all__ = ["ContextNet", "Flow", "Term"]
