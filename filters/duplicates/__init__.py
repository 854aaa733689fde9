"""Finds exact and near duplicates of texts and images."""
