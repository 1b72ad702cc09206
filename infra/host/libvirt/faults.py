"""What a libvirt error means for a build: no host would accept it, this host cannot, or try again."""

import errno
import os
import re

import libvirt

from infra.contracts.errors import hopeless, host_cannot

CONFIG_REJECTED = {
    libvirt.VIR_ERR_XML_ERROR,
    libvirt.VIR_ERR_XML_DETAIL,
    libvirt.VIR_ERR_XML_INVALID_SCHEMA,
    libvirt.VIR_ERR_DOM_EXIST,
}
CONNECTION_LOST = {libvirt.VIR_ERR_INVALID_CONN, libvirt.VIR_ERR_NO_CONNECT, libvirt.VIR_ERR_RPC}
EXPORT = re.compile(r'("export": ?")[^"]*')
FROM_TRANSPORT = {libvirt.VIR_FROM_RPC, libvirt.VIR_FROM_REMOTE}
AMBIGUOUS = {libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR}
PASSING = {
    libvirt.VIR_ERR_OPERATION_TIMEOUT,
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_RESOURCE_BUSY,
    libvirt.VIR_ERR_OPERATION_ABORTED,
}


class LibvirtDown(Exception):
    """libvirt does not answer; it may be back soon. Transient."""


def is_connection_loss(error: libvirt.libvirtError) -> bool:
    code = error.get_error_code()
    return code in CONNECTION_LOST or (code in AMBIGUOUS and error.get_error_domain() in FROM_TRANSPORT)


def conceal(error: libvirt.libvirtError) -> None:
    """Take the secrets of exports out of what libvirt tells: it repeats QEMU's command line, on which they are where a
    guest is to go on from its written memory."""
    told = EXPORT.sub(r"\1***", str(error))
    if told != str(error):
        error.args = (told,)
        error.err = error.err and (*error.err[:2], told, *(None if isinstance(e, str) else e for e in error.err[3:]))


def is_missing(error: libvirt.libvirtError) -> bool:
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def is_wrong_state(error: libvirt.libvirtError) -> bool:
    """Already running, or not running: somebody was faster."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_OPERATION_INVALID)


def is_no_job(error: libvirt.libvirtError) -> bool:
    """Nothing copies the disk: it ended before, or the guest is off."""
    return error.get_error_code() in (libvirt.VIR_ERR_INVALID_ARG, libvirt.VIR_ERR_OPERATION_INVALID)


def is_no_device(error: libvirt.libvirtError) -> bool:
    """The device is gone, or on its way: libvirt was asked before."""
    return error.get_error_code() in (libvirt.VIR_ERR_DEVICE_MISSING, libvirt.VIR_ERR_OPERATION_FAILED)


def full_disk(error: libvirt.libvirtError) -> OSError | None:
    """What libvirt says, in its own words or QEMU's, of a disk without room; None: it speaks of something else."""
    no_space = os.strerror(errno.ENOSPC)
    return OSError(errno.ENOSPC, no_space) if no_space in str(error) else None


def sort(error: libvirt.libvirtError, host: str, secrets: list[str]) -> Exception:
    """The exception to raise for `error`; the text of libvirt and QEMU without any of `secrets`."""
    text = str(error)
    for secret in filter(None, secrets):
        text = text.replace(secret, "***")
    if error.get_error_code() in CONFIG_REJECTED:
        return hopeless("The hypervisor does not accept the server's configuration.")
    if error.get_error_code() in PASSING:
        return LibvirtDown(text)
    return host_cannot(f"host {host} could not start the server: {text}")
