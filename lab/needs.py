# SPDX-License-Identifier: Apache-2.0
"""What the lab needs of the machine it runs on, and how to say that something is missing.

Each check looks at one thing and answers with a sentence; nothing is installed from here.
"""

from __future__ import annotations

from collections.abc import Iterable
import os
import pathlib
import platform
import shutil

#: command -> Debian package that has it
NAMESPACES = {'unshare': 'util-linux', 'nsenter': 'util-linux', 'mount': 'mount',
              'ip': 'iproute2', 'tc': 'iproute2', 'iptables': 'iptables'}
HYPERVISOR = {'libvirtd': 'libvirt-daemon-system', 'qemu-system-x86_64': 'qemu-system-x86',
              'qemu-img': 'qemu-utils'}
ASSEMBLER = {'as': 'binutils', 'ld': 'binutils'}
BOOTSTRAP = {'debootstrap': 'debootstrap'}

_PATH = os.pathsep.join((os.environ.get('PATH', ''), '/usr/local/sbin', '/usr/sbin', '/sbin'))


#: A wait's time is one for an idle machine. One that does other things as well is given this many
#: times as long: what has failed for good is mostly seen sooner, by the end of a program.
PATIENCE = 4


def pause_s(waited_s: float, least_s: float, most_s: float) -> float:
    """Return the pause until one looks again: a tenth of what one has waited, within bounds.

    What takes long is asked for seldom, for on a busy machine the questions slow it down further.
    """
    return min(most_s, max(least_s, waited_s / 10))


class LabError(Exception):
    """The lab cannot do what was asked; the text says why, and what to do where that is known."""


def which(command: str) -> str | None:
    """Find a command, also in the folders of the system's daemons."""
    return shutil.which(command, path=_PATH)


def missing(commands: dict[str, str]) -> list[str]:
    """Return a sentence for the packages that are not installed: none or one."""
    absent = [name for name in commands if which(name) is None]
    if not absent:
        return []
    packages = ' '.join(sorted({commands[name] for name in absent}))
    return [(f'{", ".join(absent)} not found; install with: '
            f'apt-get install --no-install-recommends {packages}')]


def check_system() -> list[str]:
    """Return what keeps namespaces from being made here, as sentences."""
    if platform.system() != 'Linux':
        return [(f'the lab is made of Linux namespaces and cannot run on {platform.system()}; '
                'use a Linux machine, best a Debian 12')]
    problems = []
    if os.geteuid() != 0:
        problems.append('the lab makes network and mount namespaces, which takes root; '
                        'run it as root (sudo)')
    if not pathlib.Path('/proc/self/ns/net').exists():
        problems.append('this kernel has no network namespaces; use a stock Debian kernel')
    return problems


def check_hosts() -> list[str]:
    """Return what is missing for hosts with libvirt and QEMU, as sentences."""
    return check_system() + missing({**NAMESPACES, **HYPERVISOR}) + _libvirt_module()


def check_guests() -> list[str]:
    """Return what is missing for building guests, as sentences."""
    return missing(ASSEMBLER)


def require(problems: Iterable[str]) -> None:
    """Raise LabError with all problems, one a line, if there is any."""
    text = '\n'.join(problems)
    if text:
        raise LabError(text)


def _libvirt_module() -> list[str]:
    try:
        import libvirt  # noqa: F401
    except ImportError:
        return [('the Python module libvirt is missing; install with: pip install libvirt-python '
                '(it compiles: apt-get install libvirt-dev pkg-config gcc), or run tools/setup')]
    return []
