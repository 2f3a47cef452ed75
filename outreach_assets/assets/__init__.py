"""The graph: each body calls the steps and reports what they did."""
