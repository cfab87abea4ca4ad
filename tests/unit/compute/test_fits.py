# SPDX-License-Identifier: Apache-2.0
"""The table of what fits, row by row."""

from __future__ import annotations

import dataclasses
from xml.etree import ElementTree

import testtools

from nova_migpolicy.compute import fits
from tests.unit.compute import cases

VFIO = fits.Devices(vfio=True)
VHOST_USER = fits.Devices(vhost_user=True)
NEW = {'libvirt_version': 11_003_000, 'qemu_version': 10_001_000,
       'destination_qemu_version': 10_001_000}
DISKS_OVER_TLS = {'native_tls': True, 'block_migration': True, 'libvirt_version': 10_002_000}
PARALLEL = (fits.PARALLEL,)

# What is asked for, beside what, where, and a word of why not.
ROWS = (
    (fits.PARALLEL, (), {'tunnelled': True}, 'tunnelled'),
    (fits.POST_COPY, (), {'tunnelled': True}, 'tunnelled'),
    (fits.POST_COPY, (), {'paused': True}, 'paused'),
    (fits.POST_COPY, (), {'persistent_memory': True}, 'persistent memory'),
    (fits.POST_COPY, (), {'devices': VFIO}, 'VFIO device'),
    # The operator's word for the site does not change what QEMU has no code for.
    (fits.POST_COPY, (), {'devices': VFIO, 'nova_post_copy': True}, 'VFIO device'),
    (fits.POST_COPY, (), {'devices': VHOST_USER}, 'vhost-user device'),
    (fits.POST_COPY, (), {'destination_memory_in_files': True}, 'file_backed_memory'),
    (fits.POST_COPY, (), DISKS_OVER_TLS, 'native TLS'),
    (fits.PARALLEL, (), DISKS_OVER_TLS, 'native TLS'),
    (fits.POST_COPY, PARALLEL, {**NEW, 'qemu_version': 10_000_009}, 'QEMU that runs the server'),
    (fits.POST_COPY, PARALLEL, {**NEW, 'destination_qemu_version': 10_000_000},
     "destination's QEMU"),
    (fits.THROTTLE, (), {'allow_qmp': False}, 'allow_qmp'),
    ('xbzrle', PARALLEL, {}, 'does not go with parallel'),
    ('zlib', (), NEW, 'needs parallel connections'),
    ('zstd', (), NEW, 'needs parallel connections'),
    ('zlib', PARALLEL, {}, '9.4'),
    ('zstd', PARALLEL, {}, '9.4'),
    (fits.SWITCHOVER, (), {'qemu_version': 10_000_000}, '11.1'),
    (fits.SWITCHOVER, (), {'libvirt_version': 11_003_000}, '8.2'),
)
FITS = (
    (fits.PARALLEL, (), {}),
    (fits.POST_COPY, (), {}),
    (fits.POST_COPY, (), {'devices': VHOST_USER, 'nova_post_copy': True}),
    (fits.POST_COPY, (), {'native_tls': True}),
    (fits.POST_COPY, (), {'block_migration': True}),
    (fits.POST_COPY, (), {**DISKS_OVER_TLS, 'libvirt_version': 10_003_000}),
    (fits.PARALLEL, (), {**DISKS_OVER_TLS, 'libvirt_version': 10_003_000}),
    (fits.POST_COPY, (), {'destination_qemu_version': 7_002_000}),
    (fits.POST_COPY, PARALLEL, NEW),
    (fits.POST_COPY, PARALLEL, {**NEW, 'destination_qemu_version': None}),
    (fits.THROTTLE, (), {'devices': VFIO}),
    ('xbzrle', (), {}),
    ('zlib', PARALLEL, NEW),
    ('zstd', PARALLEL, {'libvirt_version': 9_004_000}),
    (fits.SWITCHOVER, (), NEW),
)


def at(**more):
    return dataclasses.replace(cases.BASE, **more)


class TableTest(testtools.TestCase):

    def test_what_stands_in_the_way(self):
        for feature, used, circumstances, word in ROWS:
            why = fits.obstacle(feature, at(**circumstances), used)
            self.assertIn(word, why or '', (feature, used, circumstances))

    def test_what_fits(self):
        for feature, used, circumstances in FITS:
            self.assertIsNone(fits.obstacle(feature, at(**circumstances), used),
                              (feature, used, circumstances))

    def test_each_row_stands_for_each_thing_that_it_concerns(self):
        shown = {(feature, fits.obstacle(feature, at(**circumstances), used))
                 for feature, used, circumstances, _ in ROWS}
        self.assertEqual({(feature, row.why) for row in fits.OBSTACLES
                          for feature in row.concerns}, shown)

    def test_notes_use_the_policys_words(self):
        self.assertEqual('post_copy is left out: x', fits.note(fits.POST_COPY, 'x'))
        self.assertEqual('compression zstd is left out: x', fits.note('zstd', 'x'))
        self.assertIn('link', fits.note(fits.SWITCHOVER, 'x'))


class DevicesTest(testtools.TestCase):

    @staticmethod
    def of(*devices):
        return fits.devices(ElementTree.fromstring(
            f'<domain type="kvm"><devices>{"".join(devices)}</devices></domain>'))

    def test_devices_of_the_guests_own(self):
        for device in (
                '<hostdev mode="subsystem" type="pci" managed="no"><source/></hostdev>',
                '<hostdev mode="subsystem" type="mdev" model="vfio-pci"><source/></hostdev>'):
            self.assertEqual(VFIO, self.of('<disk type="file"/>', device))

    def test_devices_that_another_process_serves(self):
        for device in (
                '<interface type="vhostuser"><source type="unix" mode="server"/></interface>',
                '<disk type="vhostuser" device="disk"/>',
                '<filesystem type="mount"><driver type="virtiofs"/></filesystem>'):
            self.assertEqual(VHOST_USER, self.of(device))

    def test_what_goes_with_everything(self):
        self.assertEqual(fits.Devices(), self.of(
            '<disk type="network"/>', '<interface type="bridge"/>',
            # Nova takes it off before the start.
            '<interface type="hostdev"><source/></interface>',
            '<filesystem type="mount"><driver type="path"/></filesystem>',
            '<hostdev mode="subsystem" type="usb"><source/></hostdev>'))
