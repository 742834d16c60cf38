"""Images: MNIST by surjections from fine to coarse, and the report's architecture with right likelihoods."""
