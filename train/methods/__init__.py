"""The training methods, one file each: a record, and the TRL trainer built from it."""
