"""Bodies of actions, as the API reads them before anything is begun."""

import pytest
from pydantic import TypeAdapter, ValidationError

from workflows.fields import Name
from workflows.reboot_instance import RebootBody


@pytest.mark.parametrize("wanted", ["soft", "Hard", "SOFT"])
def test_the_type_of_a_reboot_in_any_case_of_letters(wanted: str) -> None:
    assert RebootBody.model_validate({"type": wanted}).type == wanted.upper()


@pytest.mark.parametrize("wanted", [None, 1, "cold"])
def test_no_type_of_a_reboot(wanted: object) -> None:
    with pytest.raises(ValidationError):
        RebootBody.model_validate({"type": wanted})


@pytest.mark.parametrize("name", ["a\x07b", "a\u2028b", " a", ""])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Name).validate_python(name)
