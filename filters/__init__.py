"""Filters keep, drop or rewrite rows before training. One file each.

`protocol.py` defines what a filter is, `registry.py` lists them all and parses the chains of recipes,
`own.py` turns a user's function into one, `apply.py` runs a chain over a dataset. `pass_rate.py` computes
how often a model solves an item, for every part of vlt that needs it.
"""
