"""Keeping benchmarks out of training data."""
