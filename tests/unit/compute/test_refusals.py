# SPDX-License-Identifier: Apache-2.0
"""Which part of the migrate call an error of QEMU 7.2 to 10.0 or libvirt 9 to 11 names."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy.compute import fits
from nova_migpolicy.compute import refusals
from tests.unit.monitor import fakes

QMP = "internal error: unable to execute QEMU command 'migrate{}': "
CAPABILITIES, PARAMETERS = QMP.format('-set-capabilities'), QMP.format('-set-parameters')
OPTION = "argument unsupported: Migration option '{}' is not supported by QEMU binary"
ALL = (fits.PARALLEL, fits.POST_COPY, fits.THROTTLE, 'zstd', fits.SWITCHOVER)
TEXTS = {
    fits.POST_COPY: (
        f'{CAPABILITIES}Postcopy is not supported',
        f'{CAPABILITIES}Postcopy is not supported: Userfaultfd not available: Not permitted',
        f'{CAPABILITIES}Postcopy is not supported: vhost-user backend not capable of postcopy',
        f'{CAPABILITIES}vhost-user backend not capable of postcopy',
        f'{CAPABILITIES}Postcopy is not yet compatible with multifd',
        f'{QMP.format("")}0000:82:00.1: VFIO migration is not supported with postcopy migration',
        OPTION.format('postcopy-ram')),
    fits.PARALLEL: (
        OPTION.format('multifd'),
        f"{PARAMETERS}Parameter 'multifd-channels' is unexpected",
        f'{CAPABILITIES}Multifd must be set before incoming starts',
        "argument unsupported: parameter 'parallel.connections' not supported"),
    'zstd': (
        "argument unsupported: Unsupported compression method 'zstd'",
        "Argument nicht unterstützt: Nicht unterstützte Komprimierungsmethode 'zstd'",
        f"{PARAMETERS}Parameter 'multifd-compression' does not accept value 'zstd'"),
    fits.THROTTLE: (
        OPTION.format('auto-converge'),
        f"{PARAMETERS}Parameter 'cpu-throttle-initial' is unexpected"),
    fits.SWITCHOVER: (
        "argument unsupported: parameter 'bandwidth.avail.switchover' not supported",
        f"{PARAMETERS}Parameter 'avail-switchover-bandwidth' is unexpected"),
}
NAMED = tuple((feature, text) for feature, texts in TEXTS.items() for text in texts)
NAMELESS = (
    'operation failed: migration out job: unexpectedly failed',
    "operation failed: job 'migration out' failed in post-copy phase",
    'operation failed: domain is not running',
    "unable to connect to server at 'n2:49152': Connection refused",
    'internal error: qemu unexpectedly closed the monitor',
    'Unsafe Migration: Migration without shared storage is unsafe',
)


def error(text, code=libvirt.VIR_ERR_INTERNAL_ERROR):
    return fakes.error(code, text)


class RefusalsTest(testtools.TestCase):

    def test_what_is_named(self):
        for feature, text in NAMED:
            self.assertEqual(feature, refusals.named(error(text), ALL), text)

    def test_only_what_is_in_use_can_have_been_refused(self):
        for feature, text in NAMED:
            others = [one for one in ALL if one != feature]
            self.assertNotEqual(feature, refusals.named(error(text), others), text)
            self.assertIsNone(refusals.named(error(text), ()))
        self.assertEqual('xbzrle', refusals.named(
            error(f'{CAPABILITIES}Multifd is not compatible with xbzrle'),
            (fits.PARALLEL, 'xbzrle')))

    def test_any_other_error_names_nothing(self):
        for text in NAMELESS:
            self.assertIsNone(refusals.named(error(text), ALL), text)

    def test_an_order_to_end_it_is_no_refusal(self):
        for feature, text in NAMED:
            self.assertIsNone(refusals.named(
                error(text, libvirt.VIR_ERR_OPERATION_ABORTED), ALL), feature)

    def test_what_is_told_of_an_error_is_one_line_of_bounded_length(self):
        self.assertEqual('a b', refusals.said(error('a\n  b\n')))
        self.assertEqual(refusals.LONGEST, len(refusals.said(error('a line\n' * 1000))))
