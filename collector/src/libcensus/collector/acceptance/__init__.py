"""Accepted risks: the operator's OpenVEX documents, read from a folder and kept as the last good state."""
