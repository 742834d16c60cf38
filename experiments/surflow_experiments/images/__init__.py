"""Images: MNIST by surjections from fine to coarse, and the replication study's architecture with right likelihoods."""
