"""The store: rows, repositories, the unit of work and the outbox.

- `protocol`: the store, the unit of work and the repositories, as jobs see them.
- `model`: the rows.
- `ids`: time-ordered ids.
- `relay`: publishes what other processes left in the outbox.
- `postgres`: the implementation on PostgreSQL, and the only place with SQL.
- `memory`: its twin in memory.
"""
