# SPDX-License-Identifier: Apache-2.0
"""What a migration is to be started under."""

from __future__ import annotations

import dataclasses

from nova_migpolicy.compute import migrate_call

BASE = migrate_call.Circumstances(
    paused=False, persistent_memory=False, tunnelled=False,
    nova_post_copy=False,
    allow_qmp=True, libvirt_version=9_000_000, qemu_version=7_002_000)


def at(**circumstances):
    return dataclasses.replace(BASE, **circumstances)
