"""Verdicts, computed from facts alone: no clock, path, socket, environment or logger in here."""
