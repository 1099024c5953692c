"""Neural style transfer: a torch engine, presets from five student reports, a page and a command line."""

__version__ = "0.1.0"
