"""The program library of the builder rail: skills that are Boolean machines, and how they learn."""
