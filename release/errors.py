"""The one error that making a release raises on purpose; the command prints it as one sentence."""

from __future__ import annotations


class ReleaseError(Exception):
    """What kept an artefact from being made: the thing, its place and the remedy."""
