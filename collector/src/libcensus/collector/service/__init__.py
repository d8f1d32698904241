"""The collector's face on the wire: gRPC servicers, who speaks, and how errors are told.

Only this package sees grpc; nothing in it sees SQL.
"""
