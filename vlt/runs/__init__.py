"""Recipes, and carrying them out round by round."""
