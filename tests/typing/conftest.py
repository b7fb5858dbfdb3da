"""The wheel in a clean environment, for the tests of this folder."""

from tests.packaging.fixtures import environment, wheel

__all__ = ["environment", "wheel"]
