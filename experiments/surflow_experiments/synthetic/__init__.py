"""The plane: every synthetic figure of the report and the paper's toys, in nats above the entropy."""
