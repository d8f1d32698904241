"""ELF as the dynamic loader sees it: streams in, values out.

Nothing in this package opens a file, follows a path or knows a clock. It refuses to trust what it reads: every offset
and every count is checked against the size of the file before memory is taken for it.
"""
