"""A cached image that is not what was downloaded is noticed before a disk is made over it, and fetched anew."""

import os
import time
from pathlib import Path

import pytest

from infra.host.files import cache, integrity
from infra.host.files.images import ImageStore
from infra.settings import Settings
from tests.host.glance import Glance
from tests.host.test_images import MIB, add, quiet, raw_image, real, store, want

__all__ = ["real", "store"]


def flip(file: Path, *offsets: int, silently: bool = False) -> None:
    """Change single bytes in the middle of `file`; `silently` leaves its times as a disk does that loses bits."""
    before = file.stat()
    mode = before.st_mode & 0o777
    file.chmod(0o600)
    with file.open("r+b") as stream:
        for offset in offsets:
            stream.seek(offset)
            byte = stream.read(1)
            stream.seek(offset)
            stream.write(bytes([byte[0] ^ 0xFF]))
    file.chmod(mode)
    if silently:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def cached(real: Settings, image_id: str) -> Path:
    return real.host_dir / "images" / image_id


def test_flipped_blocks_are_replaced_by_a_fresh_download(glance: Glance, store: ImageStore, real: Settings) -> None:
    image_id = add(glance, raw_image(12 * MIB))
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 12 * MIB
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 0
    flip(cached(real, image_id), 5, 5 * MIB, 12 * MIB - 1)
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 12 * MIB
    assert cached(real, image_id).read_bytes() == glance.images[image_id].data
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 0


def test_a_bit_that_the_disk_lost_is_found_too(
    glance: Glance, store: ImageStore, real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "SEEN_FOR_S", 0.0)
    image_id = add(glance, raw_image(9 * MIB))
    store.fetch(want(image_id), quiet)
    flip(cached(real, image_id), 7 * MIB, silently=True)
    assert store.fetch(want(image_id), quiet).downloaded_bytes == 9 * MIB
    assert cached(real, image_id).read_bytes() == glance.images[image_id].data


def test_a_touched_image_is_read_once_more_and_kept(glance: Glance, store: ImageStore, real: Settings) -> None:
    image_id = add(glance, raw_image())
    store.fetch(want(image_id), quiet)
    cached(real, image_id).touch()
    for _ in range(2):
        assert store.fetch(want(image_id), quiet).downloaded_bytes == 0
    assert len(glance.downloads) == 1


def test_the_scrub_finds_what_samples_miss(
    glance: Glance, store: ImageStore, real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity, "SAMPLED", 0)
    used, unused = (add(glance, raw_image(8 * MIB)) for _ in range(2))
    store.fetch(want(used), quiet)
    done = want(unused)
    store.fetch(done, quiet)
    store.remove(done.instance_id)
    assert store.cache.scrub() == []
    for image_id in (used, unused):
        flip(cached(real, image_id), 4 * MIB + 1, silently=True)
    assert sorted(store.cache.scrub()) == sorted((used, unused))
    assert cached(real, used).read_bytes() == glance.images[used].data
    assert not cached(real, unused).exists()
    assert store.cache.scrub() == []


def test_a_damaged_image_that_glance_has_no_more_makes_no_disk(
    glance: Glance, store: ImageStore, real: Settings
) -> None:
    image_id = add(glance, raw_image())
    store.fetch(want(image_id), quiet)
    flip(cached(real, image_id), 3)
    del glance.images[image_id]
    last = want(image_id)
    with pytest.raises(Exception, match="could not be found"):
        store.fetch(last, quiet)
    assert not (real.host_dir / "instances" / last.instance_id / "disk").exists()


def test_looking_costs_little(tmp_path: Path) -> None:
    """At a use no more than SAMPLED bytes are read, however large the image is."""
    file = tmp_path / "image"
    file.write_bytes(os.urandom(MIB) * 200)
    sums = integrity.sums_of(file)
    took = {}
    for look in (integrity.sample, integrity.whole):
        begun = time.process_time()
        assert look(file, sums)
        took[look.__name__] = time.process_time() - begun
    assert took["sample"] < took["whole"] / 2, took
