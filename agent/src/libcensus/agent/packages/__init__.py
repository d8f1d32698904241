"""Reads the records of package managers and the changelogs of packages; no tool is run. One subject a module."""
