"""An image is written over a volume that its server has, and nobody reads meanwhile.

Source: Block Storage API v3, "Reimage a volume" (since 3.68)."""

import time

from infra.contracts.errors import hopeless
from infra.contracts.volume import VolumeReimage
from infra.host.services.cinder import Volumes
from infra.interruption import still_wanted

WRITING = "downloading"
PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


def write_image(volumes: Volumes, want: VolumeReimage) -> None:
    """Returns once the volume has the image. One that is being written already is waited for: the volume's state tells,
    so that no event needs to arrive. Hopeless in Cinder's words when it is refused, and when it failed; in ours (409)
    when the volume is not the instance's any more."""
    if _status(volumes, want) != WRITING:
        if want.attachment_id:
            volumes.require(want.instance_id, want)
        volumes.reimage(want.volume_id, want.image_id)
    pause = PAUSE_S
    while (status := _status(volumes, want)) == WRITING:
        still_wanted()
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_S)
    if "error" in status:
        raise hopeless(f"Image {want.image_id} could not be written to volume {want.volume_id}: it is in {status}.")


def _status(volumes: Volumes, want: VolumeReimage) -> str:
    volume = volumes.get(want.volume_id)
    if volume is None:
        raise hopeless(f"Volume {want.volume_id} could not be found.", code=404)
    return str(volume["status"])
