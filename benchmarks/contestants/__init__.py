"""One module per contestant, each run in its own process and virtual environment.

A module has a coroutine for each role of `order.Order` that it supports: `work` runs a worker
until it is killed, `produce` enqueues no-op jobs by the library's fastest method, `ping` enqueues
single jobs at random intervals. Besides its library, a module imports only the standard library
and this package.
"""
