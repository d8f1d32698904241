"""Reads a machine and reports it. Reads, never runs: nothing that is found is executed, imported or loaded."""
