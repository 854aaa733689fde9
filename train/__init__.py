"""Training, a thin layer over TRL: export its input, launch it, and keep the result as a version."""
