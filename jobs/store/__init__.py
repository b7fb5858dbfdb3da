"""Rows, repositories, the unit of work and the outbox: the only place with SQL."""
