"""The plane: all synthetic figures of a replication study of SurVAE flows (2024), and the paper's toys."""
