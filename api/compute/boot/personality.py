"""`personality`: files that a tenant has injected into a guest, within the project's quotas."""

from api.compute.errors import forbidden
from infra.contracts.injected_files import InjectedFile
from workflows.fields import InjectedFileBody


def injected_files(limits: dict[str, int], wish: list[InjectedFileBody]) -> list[InjectedFile]:
    """403 in Nova's words for more files, longer paths and longer contents than the quotas allow. Of contents base64 is
    counted, as Nova counts."""
    if over(limits["injected_files"], len(wish)):
        raise forbidden("Personality file limit exceeded")
    most = limits["injected_file_path_bytes"]
    if any(over(most, len(file.path)) for file in wish):
        raise forbidden(f"Personality file path exceeds maximum {most}")
    most = limits["injected_file_content_bytes"]
    if any(over(most, len(file.contents)) for file in wish):
        raise forbidden(f"Personality file content exceeds maximum {most}")
    return [InjectedFile(path=file.path, contents="".join(file.contents.split())) for file in wish]


def over(limit: int, wanted: int) -> bool:
    """-1 is unlimited."""
    return 0 <= limit < wanted
