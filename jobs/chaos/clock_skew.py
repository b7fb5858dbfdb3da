"""Worker with a wrong clock: `python -m jobs.chaos.clock_skew SECONDS ARGUMENTS…`.

ARGUMENTS are those of `python -m jobs.worker`. The skew affects everything that reads
`time.time()`: business time, enqueue times, abort times. Queue time is the time of Redis.
"""

import runpy
import sys
import time


def main() -> None:
    """Shift `time.time()` by the first argument, in seconds, and run a worker."""
    skew = float(sys.argv.pop(1))
    real_time = time.time
    time.time = lambda: real_time() + skew
    runpy.run_module("jobs.worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
