"""Where published facts come from: the snapshot on board, and (later) the official feeds."""
