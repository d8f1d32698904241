"""Files, folders, wheels and archives: what they need of a host, before they are there.

``requires`` joins the needs of each path; ``read_artefacts`` keeps every file and what it finds in the artefact itself.
"""

from __future__ import annotations

from libcensus.agent.artefact.gather import ArtefactSettings, Skipped
from libcensus.agent.artefact.read import read_artefact, read_artefacts
from libcensus.agent.artefact.requires import ArtefactRequirement, artefact_document, requires
from libcensus.agent.artefact.source import FileSource, shown

__all__ = [
    "ArtefactRequirement",
    "ArtefactSettings",
    "FileSource",
    "Skipped",
    "artefact_document",
    "read_artefact",
    "read_artefacts",
    "requires",
    "shown",
]
