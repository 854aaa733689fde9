"""The families of models that people train, tiny, from their real classes: `make test-models`."""
