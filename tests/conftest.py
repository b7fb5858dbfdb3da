"""What all tests share: the fixtures that users of the jobs test with too, and the same examples of
hypothesis in every run, however slow the machine."""

from hypothesis import settings

pytest_plugins = ["jobs.testing.servers"]

settings.register_profile("reproducible", derandomize=True, deadline=None, database=None)
settings.load_profile("reproducible")
