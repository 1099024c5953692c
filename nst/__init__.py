"""Neural style transfer: a torch engine, presets from five reports, a page, a command line."""

__version__ = "0.1.0"
