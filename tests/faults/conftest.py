"""Fixtures that these tests share with others."""

from tests.integration.test_store_faults import disk

__all__ = ["disk"]
