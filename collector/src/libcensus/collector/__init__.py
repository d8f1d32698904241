"""Receives the reports of a fleet, stores them, judges portability and security posture, and exposes metrics."""
