"""Tables: what their columns are, and how values as they are written become numbers and back."""
