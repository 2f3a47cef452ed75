"""The HTTP API and web console: a process of its own that knows tasks and bytes, not pipelines."""
