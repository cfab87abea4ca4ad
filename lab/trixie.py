# SPDX-License-Identifier: Apache-2.0
"""A Debian 13 tree for hosts with a newer libvirt (11.3) and QEMU (10.0).

The tree is made once, by debootstrap from Debian's packages, and kept in the cache of the
checkout's default work folder for all labs: 600 MB, one to two minutes. Hosts see it through an
overlay and never change it.
"""

from __future__ import annotations

import pathlib
import shlex
import shutil
import subprocess

from lab import needs
from lab import turns
from lab import workdir

_CACHE = workdir.DEFAULT / workdir.CACHE
_PACKAGES = ('qemu-system-x86', 'qemu-utils', 'libvirt-daemon-system', 'libvirt-clients')
# In a mount and process namespace of its own, so that nothing stays mounted when it is stopped.
# debootstrap takes no folder with a space in its path, so it gets it under another name.
_SCRIPT = """
set -e
mount --bind {tree} /mnt
debootstrap --variant=minbase trixie /mnt
printf '#!/bin/sh\\nexit 101\\n' > /mnt/usr/sbin/policy-rc.d
chmod +x /mnt/usr/sbin/policy-rc.d
mount -t proc proc /mnt/proc
export DEBIAN_FRONTEND=noninteractive
chroot /mnt apt-get -q update
chroot /mnt apt-get -q -y install --no-install-recommends {packages}
chroot /mnt apt-get clean
rm -rf /mnt/var/lib/apt/lists/*
"""


def tree() -> pathlib.Path:
    """Return where the tree is, or will be."""
    return _CACHE / 'trixie'


def prepare(say: turns.Say = turns.say_nothing) -> pathlib.Path:
    """Make the tree unless it is there; returns its place.

    :param say: called with a line if that takes a while
    :raises LabError: if debootstrap is missing, or fails; what it said is in a log that is named
    """
    with turns.turn(_CACHE / 'trixie.lock', say, 'another lab makes the Debian 13 tree'):
        if not tree().exists():
            say('making the Debian 13 tree (kept for later runs)')
            _make()
    return tree()


def check() -> list[str]:
    """Return what is missing for making the tree, as sentences; nothing if it is there."""
    return [] if tree().exists() else needs.missing(needs.BOOTSTRAP)


def _make() -> None:
    needs.require(check())
    new, log = _CACHE / 'trixie.new', _CACHE / 'trixie.log'
    if new.exists():
        shutil.rmtree(new)
    new.mkdir()
    script = _SCRIPT.format(tree=shlex.quote(str(new)), packages=' '.join(_PACKAGES))
    with open(log, 'wb') as out:
        done = subprocess.run(
            ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private',
             'sh', '-c', script], stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False)
    if done.returncode:
        last = log.read_text(errors='replace').strip().splitlines()[-1:]
        raise needs.LabError(f'the Debian 13 tree could not be made: {"".join(last)} (all of it: '
                             f'{log}); it takes the package archive of Debian')
    new.rename(tree())
