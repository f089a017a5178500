"""Planning: how long a run takes, on how many nodes, and what limits it."""
