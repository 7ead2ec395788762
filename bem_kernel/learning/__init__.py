"""Programs learned from examples, and proved: circuits, automata, counters, stacks, registers."""
