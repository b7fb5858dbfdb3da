"""How fast the engine is, side by side with others: `make bench`, or `python -m benchmarks`."""
