"""Many runs on the same pictures: varied, painted, measured and shown side by side."""
