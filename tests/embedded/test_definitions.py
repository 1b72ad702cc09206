"""Metadata definitions of our Glance: a client offers what hosts obey, and nothing else."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from infra.contracts.machine import machine_of
from infra.embedded import definitions
from tests.embedded.people import Make

KINDS = ("OS::Glance::Image", "OS::Nova::Flavor", "OS::Nova::Aggregate", "OS::Cinder::VolumeType", "OS::Nova::Server")


@pytest.mark.parametrize("kind", KINDS)
def test_a_tenant_finds_definitions_of_each_kind(make: Make, kind: str) -> None:
    api = make().sign_in()
    [found] = api.ok("GET", f"/v2/metadefs/namespaces?resource_types={kind}", None, "image")["namespaces"]
    shown = api.ok("GET", f"/v2/metadefs/namespaces/{found['namespace']}", None, "image")
    wanted = next(each for each in definitions.namespaces() if each["namespace"] == found["namespace"])
    assert set(shown["properties"]) == set(wanted["properties"])
    assert (shown["visibility"], shown["protected"]) == ("public", True)


def test_every_value_that_is_offered_is_obeyed() -> None:
    values = {"boolean": ["true"], "integer": ["2"], "string": []}
    image, flavor = definitions.namespaces()[:2]
    for name, schema in image["properties"].items():
        for value in schema.get("enum", values[schema["type"]]):
            machine_of({name: value}, {"hw_video:ram_max_mb": "16"}, 2)
    needed = {"hw_rng:allowed": "true", "quota:vif_inbound_average": "1", "quota:vif_outbound_average": "1"}
    for name, schema in flavor["properties"].items():
        for value in schema.get("enum", values[schema["type"]]):
            machine_of({}, {**needed, name: value}, 2)


def test_other_definitions_replace_those_of_an_older_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from glance.db.sqlalchemy import models_metadef

    engine = create_engine(f"sqlite:///{tmp_path}/glance.sqlite")
    models_metadef.BASE_DICT.metadata.create_all(engine)

    def names() -> set[str]:
        with engine.connect() as connection:
            return {row[0] for row in connection.execute(text("select name from metadef_properties"))}

    definitions.load(tmp_path / "definitions", engine, fresh=True)
    first = names()
    assert {"hw_disk_bus", "hw:cpu_policy", "availability_zone", "multiattach"} <= first
    less = definitions.namespaces()
    del less[0]["properties"]["hw_disk_bus"]
    monkeypatch.setattr(definitions, "namespaces", lambda: less)
    definitions.load(tmp_path / "definitions", engine, fresh=False)
    assert names() == first - {"hw_disk_bus"}
