"""`python -m jobs.worker QUEUES [N]`: same as `ringline worker QUEUES [N]`."""

import sys

from jobs.cli import main

if __name__ == "__main__":
    main(["worker", *sys.argv[1:]])
