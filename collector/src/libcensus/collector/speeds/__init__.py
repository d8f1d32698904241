"""Measured speed: the documents of ``libcensus speed``, read from a folder and kept as the last good state."""
