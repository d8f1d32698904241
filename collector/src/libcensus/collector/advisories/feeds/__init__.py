"""One reader per official format: bytes in, rows of published facts out."""
