"""Planning of a generate run: its duration, its number of nodes, and what limits it."""
