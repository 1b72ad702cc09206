"""Images whose signature must hold before a guest has a disk of them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS, HOST_CANNOT
from infra.contracts.image import ImageOnHost
from infra.host.able import abilities_of
from infra.host.cgroups import GuestGroups
from infra.host.files.images import ImageStore
from infra.settings import Settings
from tests.host.cloud import Cloud, new_id
from tests.host.glance import Glance, StoredImage
from tests.signing import Signer, signer

DATA = b"signed" * 100_000


def quiet(*_: Any) -> None:
    pass


@dataclass
class SignedImage(StoredImage):
    signature: dict[str, str] = field(default_factory=dict)

    def facts(self, image_id: str) -> dict[str, Any]:
        return super().facts(image_id) | self.signature


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def root(certificates: Path) -> Signer:
    return signer(certificates)


@pytest.fixture
def real(host: Settings, certificates: Path) -> Settings:
    real = {"virt_type": "qemu", "libvirt_uri": "qemu:///system", "image_certificates": certificates}
    return host.model_copy(update=real)


@pytest.fixture
def store(cloud: Cloud, real: Settings) -> ImageStore:
    return ImageStore(real, cloud.session)


def add(glance: Glance, signature: dict[str, str], data: bytes = DATA) -> str:
    image_id = new_id()
    glance.images[image_id] = SignedImage(data, "raw", signature=signature)
    return image_id


def want(image_id: str, *trusted: str) -> ImageOnHost:
    return ImageOnHost(instance_id=new_id(), image_id=image_id, disk_gb=1, trusted=[*trusted])


def refused(store: ImageStore, asked: ImageOnHost, real: Settings, kind: str = HOPELESS) -> str:
    with pytest.raises(ApplicationError) as caught:
        store.fetch(asked, quiet)
    assert caught.value.type == kind
    assert not list(real.host_dir.glob("instances/*/*disk*")), "no guest gets a disk of it"
    return caught.value.message


@pytest.mark.parametrize("curve", [False, True])
def test_a_signature_that_holds(
    glance: Glance, store: ImageStore, real: Settings, certificates: Path, root: Signer, curve: bool
) -> None:
    by = signer(certificates, root, curve=curve)
    asked = want(add(glance, by.signature(DATA)), new_id(), root.id)
    store.fetch(asked, quiet)
    store.fetch_only(asked, quiet)
    store.fetch_beside(asked, quiet)
    assert {file.name for file in real.host_dir.glob("instances/*/*disk")} >= {"disk", "rescue-disk"}


def test_signatures_that_do_not(
    glance: Glance, store: ImageStore, real: Settings, certificates: Path, root: Signer
) -> None:
    by, other = signer(certificates, root), signer(certificates)
    good = by.signature(DATA)
    changed = add(glance, good, DATA + b"!")
    assert "its bytes do not match its signature" in refused(store, want(changed, root.id), real)
    for fetch in (store.fetch_only, store.fetch_beside):
        with pytest.raises(ApplicationError, match="do not match its signature"):
            fetch(want(changed, root.id), quiet)
    assert "Missing property: img_signature" in refused(store, want(add(glance, {}), root.id), real)
    nobody = {**good, "img_signature_certificate_uuid": new_id()}
    assert "Certificate not found" in refused(store, want(add(glance, nobody), root.id), real)
    outside = {**good, "img_signature_certificate_uuid": f"../{certificates.name}/{by.id}"}
    assert "Certificate not found" in refused(store, want(add(glance, outside), root.id), real)
    assert "creating the verifier" in refused(store, want(add(glance, {**good, "img_signature": "%"}), root.id), real)
    untrusted = refused(store, want(add(glance, good), other.id, "no-such", ".."), real)
    assert untrusted.startswith(f"Image signature certificate validation failed for certificate: {by.id}. Cert")
    old = signer(certificates, root, days=0).signature(DATA)
    assert "valid date range" in refused(store, want(add(glance, old), root.id), real)


def test_who_trusts_nobody_gets_any_image_and_who_does_not_is_asked_again(
    glance: Glance, store: ImageStore, real: Settings, certificates: Path, root: Signer
) -> None:
    image = add(glance, {})
    store.fetch_only(want(image), quiet)
    assert "Missing property" in refused(store, want(image, root.id), real), "though it is on the host"


def test_a_host_without_certificates(cloud: Cloud, glance: Glance, real: Settings, host: Settings) -> None:
    bare = real.model_copy(update={"image_certificates": None})
    asked = want(add(glance, {}), "x")
    for settings, words in ((bare, "has no certificates"), (host, "pretends")):
        assert words in refused(ImageStore(settings, cloud.session), asked, settings, HOST_CANNOT)
    groups = GuestGroups(real)
    told = ["image-signatures" in abilities_of(one, groups, None) for one in (real, bare, host)]
    assert told == [True, False, False]
