"""Filters: what keeps, drops or rewrites rows before they are trained on. One file for each.

`protocol.py` says what a filter is, `registry.py` names them all and reads what a recipe writes, `own.py`
makes one of a user's function, `apply.py` runs a chain over a dataset. `pass_rate.py` is how often a
model solves an item, wherever that is asked.
"""
