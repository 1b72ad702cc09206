"""Which cloud a host belongs to: kept in its state directory since its first contact, looked at before all else."""

from pathlib import Path

from infra.settings import Settings


class ForeignCloud(Exception):
    """The control plane that answers is another cloud's: its records say nothing about this host's guests."""


class CloudId:
    def __init__(self, settings: Settings) -> None:
        self._file: Path = settings.host_dir / "cloud-id"
        self._known = ""

    @property
    def known(self) -> str:
        """ "" before the first contact."""
        if not self._known and self._file.exists():
            self._known = self._file.read_text().strip()
        return self._known

    def require(self, answered: str) -> None:
        """Keep the first answer; raise ForeignCloud when a later one is another."""
        if not self.known:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            partial = self._file.with_suffix(".part")
            partial.write_text(f"{answered}\n")
            partial.replace(self._file)
        elif answered != self.known:
            raise ForeignCloud(
                f"This host belongs to cloud {self.known}, but the control plane that answers is cloud {answered}. "
                "Nothing on this host is touched. Check the compute service's database and the catalog; to hand the "
                f"host over, remove {self._file}."
            )
