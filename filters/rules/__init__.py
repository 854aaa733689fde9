"""Filters that judge rows, one file each."""
