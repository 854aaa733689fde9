"""How good a model is, and how two models compare."""
