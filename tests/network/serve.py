"""Runs the network service as a process of its own: `python -m tests.network.serve PORT`, settings from KILONOVA_*."""

import sys

import uvicorn

from api.network.app import create
from infra.settings import Settings

if __name__ == "__main__":
    uvicorn.run(create(Settings()), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
