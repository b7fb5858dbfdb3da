"""What several domains must agree on: pure functions and frozen data, without I/O or a clock."""
