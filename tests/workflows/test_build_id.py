"""What Temporal notes of the code that a worker runs."""

from pathlib import Path

from workers.build import ROOMS, build_id


def test_it_is_another_one_for_other_code(tmp_path: Path) -> None:
    found = []
    for number, (name, code) in enumerate([("a", "x"), ("a", "x"), ("a", "y"), ("b", "x"), ("a", "xx")]):
        for room in ROOMS:
            (tmp_path / str(number) / room).mkdir(parents=True)
        (tmp_path / str(number) / ROOMS[-1] / f"{name}.py").write_text(code)
        found.append(build_id(tmp_path / str(number)))
    assert found[0] == found[1] and len(set(found)) == 4
