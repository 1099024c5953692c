"""Files of trained networks: how they are laid out, and where they come from."""
