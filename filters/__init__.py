"""Filters: what keeps, drops or rewrites rows before they are trained on. One file for each.

`shape.py` says what a filter is, `chain.py` names them all, `make.py` runs a chain over a dataset.
"""
