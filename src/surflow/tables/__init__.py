"""Tables with names: rows with their schema, and the model that answers questions about them."""
