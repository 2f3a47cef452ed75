"""clean-my-data: a table cleaned by named agents, every change of every cell written down."""
