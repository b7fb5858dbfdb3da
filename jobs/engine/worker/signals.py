"""Signals of a worker process, and of the processes that its jobs fork."""

import os
import signal
import threading
from typing import Final

_HANDLED: Final[set[signal.Signals]] = set()
"""Signals that workers of this process handle."""
_FORKING: Final = threading.local()


def reset_in_forks(signum: signal.Signals) -> None:
    """Reset the handling of a signal in processes that are forked from this one.

    A forked child inherits the handlers, and the file descriptor by which the event loop learns of
    signals. A SIGTERM for the child, as `multiprocessing` sends it, would stop the worker. Python
    3.12 resets the descriptor, but not the handlers.
    """
    if not _HANDLED and hasattr(os, "register_at_fork"):
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset)
    _HANDLED.add(signum)


def _block() -> None:
    """Hold the signals back until the child has reset their handling."""
    _FORKING.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _FORKING.mask)


def _reset() -> None:
    signal.set_wakeup_fd(-1)
    for signum in _HANDLED:
        default = signal.default_int_handler if signum is signal.SIGINT else signal.SIG_DFL
        signal.signal(signum, default)
    _unblock()
