"""vlt: OpenVLThinker's loop (arXiv 2503.17352) as a toolkit. `vlt --help` is the way in."""

__version__ = "0.1.0"
