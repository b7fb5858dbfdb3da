"""What all tests share: the fixtures that users of the jobs test with too."""

pytest_plugins = ["jobs.testing.servers"]
