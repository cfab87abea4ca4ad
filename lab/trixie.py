# SPDX-License-Identifier: Apache-2.0
"""A Debian 13 tree for hosts with a newer libvirt (11.3) and QEMU (10.0).

The tree is made once, by debootstrap from Debian's packages, and kept in the cache of the
checkout's default work folder for all labs: 600 MB, one to two minutes. Hosts see it through an
overlay and never change it.
"""

from __future__ import annotations

import fcntl
import pathlib
import shlex
import shutil
import subprocess

from lab import needs
from lab import workdir

_CACHE = workdir.DEFAULT / workdir.CACHE
_PACKAGES = ('qemu-system-x86', 'qemu-utils', 'libvirt-daemon-system', 'libvirt-clients')
# In a mount and process namespace of its own, so that nothing stays mounted when it is stopped.
_SCRIPT = """
set -e
debootstrap --variant=minbase trixie {tree}
printf '#!/bin/sh\\nexit 101\\n' > {tree}/usr/sbin/policy-rc.d
chmod +x {tree}/usr/sbin/policy-rc.d
mount -t proc proc {tree}/proc
export DEBIAN_FRONTEND=noninteractive
chroot {tree} apt-get -q update
chroot {tree} apt-get -q -y install --no-install-recommends {packages}
chroot {tree} apt-get clean
rm -rf {tree}/var/lib/apt/lists/*
"""


def tree() -> pathlib.Path:
    """Return where the tree is, or will be."""
    return _CACHE / 'trixie'


def prepare() -> pathlib.Path:
    """Make the tree unless it is there; returns its place.

    :raises LabError: if debootstrap is missing, or fails; what it said is in a log that is named
    """
    _CACHE.mkdir(parents=True, exist_ok=True)
    with open(_CACHE / 'trixie.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree().exists():
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
