"""The epidemic: posteriors of SIR, basic and degenerate, beside the exact ones."""
