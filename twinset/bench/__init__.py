"""Benchmarks: each prints a table, then one JSON line, with the yardstick timed in the same run."""
