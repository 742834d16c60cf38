"""Experiments: each reproduces figures of a replication study of SurVAE flows (2024), "the study", or of a paper."""
