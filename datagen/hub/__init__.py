"""Datasets and models to and from the Hugging Face Hub."""
