"""Work on a Ray cluster: where it is, and the connection to it.

Ray schedules, discovers and restarts; nothing here does. Without `--ray` (VLT_RAY) nothing imports it.
"""
