"""Tables of mixed columns: the preset table beside simple models and peers, in nats a row, draws and holes filled."""
