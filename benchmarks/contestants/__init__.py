"""One module for each contestant; each runs in a process, and in an environment, of its own.

A module has three coroutines, by the roles of `order.Order`: `work` runs a worker until it is
killed, `produce` enqueues no-op jobs by the library's fastest way, `ping` enqueues one now and
then. Only the standard library and this package may be imported beside the library itself.
"""
