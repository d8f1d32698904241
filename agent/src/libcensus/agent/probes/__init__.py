"""One file per subject of a scan; each probe runs on its own, is timed, and can fail without costing the others."""
