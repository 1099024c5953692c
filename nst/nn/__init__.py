"""Networks, losses and operations on features: tensors in, tensors out, no settings."""
