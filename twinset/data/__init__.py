"""Readers and writers of labelled photos and product feeds."""
