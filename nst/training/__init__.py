"""What makes a trained network."""
