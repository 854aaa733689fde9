"""Keeps benchmarks out of training data."""
