"""pilab: a laboratory for physical intelligence that runs in a notebook."""

__version__ = "0.1.0"
