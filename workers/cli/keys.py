"""`kilonova keys …`: new keys for tokens and for payloads, without a restart and without losing what is sealed."""

from typing import Annotated

import typer

from workers.cli.screen import out

app = typer.Typer(help="Rotate the keys of tokens and of encrypted payloads; make certificates.", no_args_is_help=True)


@app.command("rotate-tokens")
def rotate_tokens(
    keep: Annotated[int, typer.Option(min=3, help="Keys kept, the staged and the primary one included.")] = 5,
) -> None:
    """Seal new tokens of the embedded identity service with another key; older tokens stay valid."""
    from infra.fernet_keys import FernetKeys
    from infra.settings import Settings

    keys = FernetKeys.of(Settings().state_dir)
    if not keys.directory.is_dir():
        _no_keys(str(keys.directory))
    keys.rotate(keep)
    out.print(f"New tokens have a new key. A token given before stays valid for {keep - 2} more rotations.")


@app.command("rotate-payloads")
def rotate_payloads(
    stage: Annotated[
        bool, typer.Option("--stage", help="Only add the key: copy the file to every machine, then rotate.")
    ] = False,
) -> None:
    """Seal new payloads with another key; recorded histories and sealed columns keep theirs."""
    from infra.codec import KeyRing
    from infra.settings import Settings

    file = Settings().codec_keys
    if not file.exists():
        _no_keys(str(file))
    if stage:
        out.print(f"{KeyRing.stage(file)} is in {file} and seals nothing until the next rotate-payloads.")
    else:
        out.print(f"New payloads are sealed by {KeyRing.rotate(file)}. Running processes notice; old keys stay.")
    for keys in sorted(Settings().state_dir.glob("hosts/*/codec.json")):
        KeyRing.give(file, keys.parent.name, keys)
        out.print(f"Copy {keys} to host {keys.parent.name}.", soft_wrap=True)


@app.command()
def certificate(
    name: Annotated[str, typer.Argument(help="Of the files: NAME-cert.pem and NAME-key.pem.")],
    names: Annotated[list[str], typer.Argument(help="Host names and addresses that the certificate is good for.")],
) -> None:
    """Make a certificate by the cloud's own authority, for a server or a client of another machine."""
    from infra.settings import Settings
    from infra.tls import Authority

    made, key = Authority(Settings().tls_place).ensure(name, names)
    out.print(f"{made} and {key}; who shall believe it needs {made.with_name('ca-cert.pem')}.", soft_wrap=True)


def _no_keys(where: str) -> None:
    out.print(f"[red]There are no keys in {where};[/] `kilonova up` makes the first ones.")
    raise typer.Exit(1)
