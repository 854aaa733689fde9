"""Training, thin over TRL: export what it reads, launch it, and keep what it made as a version."""
