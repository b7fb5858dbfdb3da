"""What all tests share: the fixtures that users of the jobs test with too, and the same examples of
hypothesis in every run, however slow the machine. `pytest --hypothesis-profile=thorough` draws new
ones, and many more."""

from hypothesis import settings

pytest_plugins = ["jobs.testing.servers"]

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.register_profile("thorough", max_examples=5000, deadline=None, database=None)
settings.load_profile("reproducible")
