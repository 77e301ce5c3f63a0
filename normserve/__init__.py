"""The command line: export, train, serve, demo. Decides nothing that a package below can decide."""
