"""Events of the queue's property test."""

from typing import Any

from hypothesis import strategies as st

ONE, TWO = "one_tasks", "two_tasks"
IDS = {"a": ONE, "b": ONE, "z": TWO}

ids = st.sampled_from(sorted(IDS))
workers = st.integers(0, 2)
few = st.integers(1, 3)
index = st.integers(0, 3)
outcomes = st.sampled_from(
    ["done", "unkept", "dead", "dead", "retry", "retry later", "release", "unknown"]
)
arq_outcomes = st.sampled_from(["returns", "raises", "retries", "retries later", "is canceled"])

EVENTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "pool_enqueues": (3, {"chosen": st.sets(ids, min_size=1), "deferred": st.booleans()}),
    "arq_pool_enqueues": (1, {"job_id": ids, "deferred": st.booleans()}),
    "payload_expires": (2, {"job_id": ids}),
    "job_is_aborted": (1, {"job_id": ids}),
    "late_abort_moves_the_id": (2, {"job_id": ids}),
    "dead_letter_is_retried": (4, {"index": index}),
    "dead_letter_is_discarded": (1, {"job_id": ids}),
    "hour_passes": (2, {}),
    "lease_expires": (3, {"index": index}),
    "worker_claims": (
        5,
        {
            "index_of_worker": workers,
            "limit": few,
            "with_aborts": st.booleans(),
            "replied": st.integers(0, 9),
            "accepts_handoff": st.sampled_from([True, True, True, False, None]),
        },
    ),
    "handoff_windows_end": (1, {"queue": st.sampled_from([ONE, TWO])}),
    "worker_stops_listening": (1, {"index_of_worker": workers}),
    "worker_finishes": (
        5,
        {
            "index_of_worker": workers,
            "first": st.integers(0, 2),
            "how": st.lists(outcomes, min_size=1, max_size=3),
            "replied": st.integers(0, 20),
        },
    ),
    "worker_renews": (3, {"index_of_worker": workers, "how_many": few}),
    "worker_reclaims": (
        2,
        {"index_of_worker": workers, "too_late": st.integers(0, 9).map(lambda number: number == 0)},
    ),
    "arq_worker_polls": (2, {"limit": few}),
    "arq_worker_finishes": (3, {"index": index, "how": arq_outcomes}),
}
"""Events by name, each with its relative frequency and its arguments."""

events = st.one_of(
    [
        st.tuples(st.just(name), st.fixed_dictionaries(arguments))
        for name, (weight, arguments) in EVENTS.items()
        for _ in range(weight)
    ]
)
