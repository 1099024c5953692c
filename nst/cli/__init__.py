"""The command line: one module a trade."""
