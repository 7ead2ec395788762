"""Boolean step functions on the state."""
