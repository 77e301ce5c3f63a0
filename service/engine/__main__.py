"""The zygote as a program of its own: ``python -m service.engine DESCRIPTOR``."""

import socket
import sys

from service.engine.zygote import serve

if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
