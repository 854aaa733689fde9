"""The training methods, one file each: a record of what it is, and TRL's trainer built from it."""
