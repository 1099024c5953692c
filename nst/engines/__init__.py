"""What paints: each engine yields steps."""
