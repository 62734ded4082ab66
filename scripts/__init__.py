"""What the Makefile runs: standard library only, from the root of the repository, Python 3.11 or newer."""
