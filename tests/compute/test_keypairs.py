"""Key pairs: import, generation, ownership."""

import base64
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.compute.conftest import Api, Cloud


@pytest.fixture(scope="module", params=["rsa", "ed25519", "ecdsa"])
def key(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A public key as ssh-keygen writes it, and its fingerprint as ssh-keygen prints it."""
    file = Path(tmp_path_factory.mktemp("keys")) / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", request.param, "-N", "", "-f", file], check=True)
    printed = subprocess.run(
        ["ssh-keygen", "-l", "-E", "md5", "-f", f"{file}.pub"], check=True, capture_output=True, text=True
    ).stdout
    return Path(f"{file}.pub").read_text(), printed.split()[1].removeprefix("MD5:")


def name() -> str:
    return f"k-{uuid.uuid4().hex[:8]}"


def test_import(demo: Api, other: Api, key: tuple[str, str]) -> None:
    wish = {"keypair": {"name": name(), "public_key": key[0], "type": "ssh"}}
    made = demo.post("/os-keypairs", wish, 201)["keypair"]
    assert made["fingerprint"] == key[1]
    assert "private_key" not in made
    shown = demo.get(f"/os-keypairs/{made['name']}")["keypair"]
    assert (shown["public_key"], shown["user_id"], shown["type"]) == (key[0], demo.user_id, "ssh")
    assert demo.refused("POST", "/os-keypairs", 409, json=wish) == f"Key pair '{made['name']}' already exists."
    other.refused("GET", f"/os-keypairs/{made['name']}", 404)
    other.post("/os-keypairs", wish, 201)
    demo.delete(f"/os-keypairs/{made['name']}")
    demo.refused("DELETE", f"/os-keypairs/{made['name']}", 404)


def test_generation_until_2_91(demo: Api, tmp_path: Path) -> None:
    wish = {"keypair": {"name": name()}}
    demo.refused("POST", "/os-keypairs", 400, "2.92", json=wish)
    made = demo.post("/os-keypairs", wish, 201, "2.91")["keypair"]
    private = tmp_path / "key"
    private.touch(0o600)
    private.write_text(made["private_key"])
    derived = subprocess.run(["ssh-keygen", "-y", "-f", private], check=True, capture_output=True, text=True).stdout
    assert derived.split()[1] == made["public_key"].split()[1]
    assert "private_key" not in demo.get(f"/os-keypairs/{made['name']}")["keypair"]


def test_a_certificate_is_generated_until_2_91(demo: Api, tmp_path: Path) -> None:
    """As Nova's for WinRM: of the user's id and its principal name, both halves in PKCS #12 without a password."""
    wish = {"keypair": {"name": name(), "type": "x509"}}
    demo.refused("POST", "/os-keypairs", 400, "2.92", json=wish)
    made = demo.post("/os-keypairs", wish, 201, "2.91")["keypair"]
    (tmp_path / "both").write_bytes(base64.b64decode(made["private_key"]))
    (tmp_path / "certificate").write_text(made["public_key"])

    def openssl(line: str) -> str:
        return subprocess.run(
            ["openssl", *line.split()], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    assert openssl("x509 -in certificate -noout -fingerprint -sha1").strip().lower().endswith(made["fingerprint"])
    text = openssl("x509 -in certificate -noout -text")
    assert f"CN = {demo.user_id}" in text and "TLS Web Client Authentication" in text
    assert f"UPN::{demo.user_id}@localhost" in text
    key = openssl("pkcs12 -in both -passin pass: -nodes -nocerts -nomacver")
    (tmp_path / "key").write_text(key)
    assert openssl("pkey -in key -pubout") == openssl("x509 -in certificate -noout -pubkey")
    demo.delete(f"/os-keypairs/{made['name']}")


def test_base_version(demo: Api, key: tuple[str, str]) -> None:
    wish = {"keypair": {"name": name(), "public_key": key[0]}}
    made = demo.post("/os-keypairs", wish, 200, "2.1")["keypair"]
    assert "type" not in made
    demo.refused("POST", "/os-keypairs", 400, "2.1", json={"keypair": {**wish["keypair"], "type": "ssh"}})
    assert "type" not in demo.get("/os-keypairs", version="2.1")["keypairs"][0]["keypair"]
    demo.delete(f"/os-keypairs/{made['name']}", 202, "2.1")


@pytest.mark.parametrize(
    ("about", "version"),
    [
        ({"name": "k", "public_key": "ssh-rsa nonsense"}, "2.104"),
        ({"name": "k", "public_key": ""}, "2.104"),
        ({"name": "k", "public_key": "x\u0000"}, "2.104"),
        ({"name": "k", "public_key": "x", "type": "x509"}, "2.104"),
        ({"name": "k", "public_key": "x", "type": "gpg"}, "2.104"),
        ({"name": "a/b"}, "2.91"),
        ({"name": "a.b"}, "2.91"),
        ({"name": "k", "user_id": "x"}, "2.9"),
        ({"public_key": "x"}, "2.104"),
    ],
)
def test_bad_keypairs(demo: Api, about: dict[str, str], version: str) -> None:
    demo.refused("POST", "/os-keypairs", 400, version, json={"keypair": about})


def test_other_users(admin: Api, demo: Api, key: tuple[str, str]) -> None:
    wish = {"keypair": {"name": name(), "public_key": key[0], "user_id": demo.user_id}}
    demo.refused("POST", "/os-keypairs", 403, json={"keypair": {**wish["keypair"], "user_id": admin.user_id}})
    made = admin.post("/os-keypairs", wish, 201)["keypair"]
    assert demo.get(f"/os-keypairs/{made['name']}")["keypair"]["user_id"] == demo.user_id
    listed = admin.get("/os-keypairs", user_id=demo.user_id)["keypairs"]
    assert made["name"] in {each["keypair"]["name"] for each in listed}
    demo.refused("GET", "/os-keypairs", 403, params={"user_id": admin.user_id})


def test_quota_and_pages(cloud: Cloud, admin: Api, fresh: Api, key: tuple[str, str]) -> None:
    admin.put(f"/os-quota-sets/{fresh.project_id}", {"quota_set": {"key_pairs": 3}})
    for n in range(3):
        fresh.post("/os-keypairs", {"keypair": {"name": f"k{n}", "public_key": key[0]}}, 201)
    more = {"keypair": {"name": "k3", "public_key": key[0]}}
    assert fresh.refused("POST", "/os-keypairs", 403, json=more) == "Quota exceeded, too many key pairs."
    page = fresh.get("/os-keypairs", limit=2)
    assert [each["keypair"]["name"] for each in page["keypairs"]] == ["k0", "k1"]
    assert page["keypairs_links"][0]["rel"] == "next"
    assert [k["keypair"]["name"] for k in fresh.get("/os-keypairs", marker="k1")["keypairs"]] == ["k2"]
    assert len(fresh.get("/os-keypairs", version="2.34", limit=2)["keypairs"]) == 3
