# SPDX-License-Identifier: Apache-2.0
"""A job that sends, told from others and from none."""

from __future__ import annotations

import libvirt
import testtools

from lab import jobs
from tests.unit.monitor import fakes

OUT = libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT


def says(**stats):
    return fakes.Domain(jobStats=stats)


def refuses(code):
    return fakes.Domain(jobStats=fakes.error(code))


class TestSending(testtools.TestCase):

    def test_a_job_that_sends(self):
        found = jobs.sending(says(
            operation=OUT, type=libvirt.VIR_DOMAIN_JOB_UNBOUNDED, memory_processed=5))
        self.assertEqual(5, found['memory_processed'])

    def test_no_job_or_another(self):
        self.assertEqual({}, jobs.sending(says(type=libvirt.VIR_DOMAIN_JOB_NONE)))
        self.assertEqual({}, jobs.sending(says(
            operation=OUT, type=libvirt.VIR_DOMAIN_JOB_NONE)))
        self.assertEqual({}, jobs.sending(says(
            operation=libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP,
            type=libvirt.VIR_DOMAIN_JOB_UNBOUNDED)))

    def test_one_that_has_gone_since(self):
        self.assertEqual({}, jobs.sending(refuses(libvirt.VIR_ERR_NO_DOMAIN)))

    def test_one_that_libvirt_is_too_busy_with(self):
        self.assertIsNone(jobs.sending(refuses(libvirt.VIR_ERR_OPERATION_TIMEOUT)))

    def test_one_that_cannot_be_asked(self):
        self.assertRaises(libvirt.libvirtError, jobs.sending, refuses(libvirt.VIR_ERR_RPC))
