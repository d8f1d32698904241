"""A fleet that never was: facts made from a seed, and the truth about them, for demonstrations and for tests."""
