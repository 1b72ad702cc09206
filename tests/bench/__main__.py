"""`python -m tests.bench`."""

from tests.bench.boot import main

main()
