"""Tasks of the public benchmark sbibm: amortised posteriors from ten thousand simulations, against exact ones."""
