"""What may happen to a queue."""

from typing import Any

from hypothesis import strategies as st

ONE, TWO = "one_tasks", "two_tasks"
IDS = {"a": ONE, "b": ONE, "z": TWO}

ids = st.sampled_from(sorted(IDS))
workers = st.integers(0, 2)
few = st.integers(1, 3)
which = st.integers(0, 3)
endings = st.sampled_from(
    ["done", "unkept", "dead", "dead", "retry", "retry later", "release", "unknown"]
)
stock_endings = st.sampled_from(["returns", "raises", "retries", "retries later", "is cancelled"])

EVENTS: dict[str, tuple[int, dict[str, st.SearchStrategy[Any]]]] = {
    "we_enqueue": (3, {"chosen": st.sets(ids, min_size=1), "deferred": st.booleans()}),
    "a_stock_producer_enqueues": (1, {"job_id": ids, "deferred": st.booleans()}),
    "a_deadline_passes": (2, {"job_id": ids}),
    "somebody_aborts": (1, {"job_id": ids}),
    "an_abort_comes_late": (2, {"job_id": ids}),
    "a_letter_is_retried": (4, {"which": which}),
    "a_letter_is_discarded": (1, {"job_id": ids}),
    "an_hour_passes": (2, {}),
    "a_lease_lapses": (3, {"which": which}),
    "we_claim": (
        5,
        {
            "who": workers,
            "limit": few,
            "with_aborts": st.booleans(),
            "heard": st.integers(0, 9),
            "waits": st.sampled_from([True, True, True, False, None]),
        },
    ),
    "we_wait_too_long": (1, {"queue": st.sampled_from([ONE, TWO])}),
    "we_hear_nothing": (1, {"who": workers}),
    "we_finish": (
        5,
        {
            "who": workers,
            "first": st.integers(0, 2),
            "how": st.lists(endings, min_size=1, max_size=3),
            "heard": st.integers(0, 20),
        },
    ),
    "we_renew": (3, {"who": workers, "how_many": few}),
    "we_reap": (2, {"who": workers, "too_late": st.integers(0, 9).map(lambda one: one == 0)}),
    "a_stock_worker_polls": (2, {"limit": few}),
    "a_stock_worker_ends": (3, {"which": which, "how": stock_endings}),
}
"""What may happen, how often compared with the rest, and with which arguments."""

events = st.one_of(
    [
        st.tuples(st.just(name), st.fixed_dictionaries(arguments))
        for name, (weight, arguments) in EVENTS.items()
        for _ in range(weight)
    ]
)
