# SPDX-License-Identifier: Apache-2.0
"""What a domain's state means as evidence; libvirt's real answers are read in tests/lab."""

import itertools

import libvirt
import testtools

from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import evidence
from tests.unit.monitor import fakes

UUID = '5ae0a0a4-6d33-4a8f-8a2c-8e6e0f5a2b51'
Source = evidence.Source
Destination = evidence.Destination
Job = domains.Job
STATES = range(libvirt.VIR_DOMAIN_PMSUSPENDED + 3)
REASONS = range(20)
SENDS = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
         'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT}


class Connection:
    """libvirt with one domain, or with an error."""

    def __init__(self, found):
        self.found = found

    def lookupByUUIDString(self, uuid):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def look(**answers):
    return domains.look(Connection(fakes.Domain(**answers)), UUID)


class TestMeaning(testtools.TestCase):

    def test_every_state_has_a_meaning_and_none_that_libvirt_tells_is_absence_at_the_source(self):
        for job, state, reason in itertools.product(Job, STATES, REASONS):
            found = domains.read(job, state, reason)
            self.assertIsNot(Source.ABSENT, found.source)
            # Only a libvirt that says so has no such domain, or has let it go.
            self.assertEqual(found.destination is Destination.ABSENT,
                             found.source is Source.MIGRATED)
            if found != domains.SILENT:
                self.assertEqual(job is Job.OUT, found.job)

    def test_a_state_that_is_not_known_is_no_answer(self):
        for state in (libvirt.VIR_DOMAIN_NOSTATE, libvirt.VIR_DOMAIN_PMSUSPENDED + 1, 99):
            self.assertEqual(domains.SILENT, domains.read(Job.NONE, state, 1))
        self.assertEqual(domains.SILENT, look(state=(0, 0)))

    def test_one_that_waits_for_its_memory_has_not_arrived(self):
        for reason in (libvirt.VIR_DOMAIN_PAUSED_MIGRATION, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP,
                       libvirt.VIR_DOMAIN_PAUSED_UNKNOWN):
            for job in (Job.IN, Job.NONE):
                self.assertIs(Destination.INCOMING, domains.read(
                    job, libvirt.VIR_DOMAIN_PAUSED, reason).destination)

    def test_one_that_stands_still_where_it_ran_has_arrived(self):
        for reason in (libvirt.VIR_DOMAIN_PAUSED_USER, libvirt.VIR_DOMAIN_PAUSED_IOERROR,
                       libvirt.VIR_DOMAIN_PAUSED_WATCHDOG, libvirt.VIR_DOMAIN_PAUSED_CRASHED):
            self.assertIs(Destination.ARRIVED, domains.read(
                Job.NONE, libvirt.VIR_DOMAIN_PAUSED, reason).destination)
        # About to leave for a third host.
        self.assertIs(Destination.ARRIVED, domains.read(
            Job.OUT, libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION).destination)

    def test_one_that_sleeps_or_shuts_down_is_not_paused(self):
        for state in (libvirt.VIR_DOMAIN_PMSUSPENDED, libvirt.VIR_DOMAIN_SHUTDOWN,
                      libvirt.VIR_DOMAIN_BLOCKED):
            self.assertEqual(domains.Answers(Source.RUNNING, False, Destination.ARRIVED),
                             domains.read(Job.NONE, state, 0))


class TestLook(testtools.TestCase):

    def test_absent_only_where_libvirt_says_so(self):
        gone = fakes.error(libvirt.VIR_ERR_NO_DOMAIN)
        self.assertEqual(domains.ABSENT, domains.look(Connection(gone), UUID))
        self.assertEqual(domains.ABSENT, look(jobStats=gone))
        self.assertEqual(domains.ABSENT, look(state=gone))

    def test_any_other_error_is_silence(self):
        for code in (libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_ERR_INTERNAL_ERROR,
                     libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_RPC, None):
            error = fakes.error(code)
            self.assertEqual(domains.SILENT, domains.look(Connection(error), UUID))
            self.assertEqual(domains.SILENT, look(jobStats=error))
            self.assertEqual(domains.SILENT, look(state=error))

    def test_the_job_is_asked_for_before_the_state(self):
        domain = fakes.Domain(jobStats=SENDS)
        found = domains.look(Connection(domain), UUID)
        self.assertEqual((Source.RUNNING, True), (found.source, found.job))
        self.assertEqual(['jobStats', 'state'], [name for name, *_ in domain.calls])

    def test_only_a_job_that_sends_counts(self):
        self.assertFalse(look(jobStats={**SENDS, 'type': libvirt.VIR_DOMAIN_JOB_NONE}).job)
        self.assertFalse(look(jobStats={
            **SENDS, 'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_BACKUP}).job)
        self.assertFalse(look(jobStats={'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED}).job)
