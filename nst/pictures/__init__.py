"""Files, pictures and tensors: what is accepted, decoded, kept and written."""
