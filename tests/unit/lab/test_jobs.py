# SPDX-License-Identifier: Apache-2.0
"""A job that sends, told from others and from none."""

from __future__ import annotations

import libvirt
import testtools

from lab import jobs

OUT = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


class _Domain:

    def __init__(self, error=None, **stats):
        self._error = error
        self._stats = stats

    def jobStats(self):
        if self._error is not None:
            found = libvirt.libvirtError('no')
            found.err = (self._error, 0, 'no', 0, '', None, None, 0, 0)
            raise found
        return self._stats


class TestSending(testtools.TestCase):

    def test_a_job_that_sends(self):
        found = jobs.sending(_Domain(
            operation=OUT, type=libvirt.VIR_DOMAIN_JOB_UNBOUNDED, memory_processed=5))
        self.assertEqual(5, found['memory_processed'])

    def test_no_job_or_another(self):
        self.assertEqual({}, jobs.sending(_Domain(type=libvirt.VIR_DOMAIN_JOB_NONE)))
        self.assertEqual({}, jobs.sending(_Domain(
            operation=OUT, type=libvirt.VIR_DOMAIN_JOB_NONE)))
        self.assertEqual({}, jobs.sending(_Domain(
            operation=libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP,
            type=libvirt.VIR_DOMAIN_JOB_UNBOUNDED)))

    def test_one_that_has_gone_since(self):
        self.assertEqual({}, jobs.sending(_Domain(libvirt.VIR_ERR_NO_DOMAIN)))

    def test_one_that_libvirt_is_too_busy_with(self):
        self.assertIsNone(jobs.sending(_Domain(libvirt.VIR_ERR_OPERATION_TIMEOUT)))

    def test_one_that_cannot_be_asked(self):
        self.assertRaises(libvirt.libvirtError, jobs.sending, _Domain(libvirt.VIR_ERR_RPC))
