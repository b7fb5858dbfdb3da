"""A worker on a machine whose clock is wrong: `python -m jobs.chaos.clock_skew SECONDS ARGUMENTS…`.

The arguments are those of `python -m jobs.worker`. What runs by `time.time()` is wrong: business
time, when jobs were enqueued, when an abortion was asked for. Queue time is that of Redis.
"""

import runpy
import sys
import time


def main() -> None:
    error = float(sys.argv.pop(1))
    right = time.time
    time.time = lambda: right() + error
    runpy.run_module("jobs.worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
