from infra.logs import mask


def test_tokens_and_passwords_are_masked() -> None:
    assert "hunter2" not in mask('{"password": "hunter2"}')
    assert "gAAAAABo" not in mask("token gAAAAABoabcdefghijklmnopqrstuvwxyz012345 used")
