"""The protocol over gRPC. A transport: decodes, asks the data plane, encodes."""

import os

# Read when gRPC is loaded. Its core writes past the log, and anybody who is no client of TLS could
# make it write a line for each connection.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
