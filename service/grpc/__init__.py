"""The protocol over gRPC. A transport: decodes, asks the data plane, encodes."""
