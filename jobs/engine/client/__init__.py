"""TODO-MAP."""
