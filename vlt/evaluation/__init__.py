"""Evaluation of models, comparisons, judging and labelling."""
