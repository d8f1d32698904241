"""What is known about a host: frozen values, their vocabulary, and the one bridge to the wire.

Everything here except :mod:`libcensus.facts.codec` imports only the standard library, performs no IO, and
knows no clock. Agent and collector share these types and nothing else.
"""
