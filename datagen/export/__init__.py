"""Dataset versions as files for other tools."""
