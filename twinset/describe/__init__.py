"""Describing an item: its embedding, its colours."""
