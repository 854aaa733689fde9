"""Push and pull of datasets and models to and from the Hugging Face Hub."""
