"""Every setting, and every named set of them in `presets/`."""
