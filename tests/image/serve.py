"""Runs the image service as a process of its own: serve.py STATE_DIR PORT_OFFSET [LARGEST_FILE_IN_BYTES]."""

import resource
import sys
from pathlib import Path

import uvicorn

import api.image.app
from infra.settings import Settings

settings = Settings(state_dir=Path(sys.argv[1]), port_offset=int(sys.argv[2]))
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
uvicorn.run(api.image.app.create(settings), host="127.0.0.1", port=settings.port("image"), log_level="warning")
