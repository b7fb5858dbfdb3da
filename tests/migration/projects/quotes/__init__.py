"""Quotes on arq: a producer that waits for the results of its jobs."""
