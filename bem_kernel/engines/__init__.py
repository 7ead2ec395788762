"""What evaluates a circuit on bit planes."""
