# SPDX-License-Identifier: Apache-2.0
"""How an ended call is judged: one guest on one host, whatever the error says."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from tests.unit.monitor import fakes

ABORTED = fakes.error(libvirt.VIR_ERR_OPERATION_ABORTED, 'canceled by client')
BROKEN_PIPE = fakes.error(libvirt.VIR_ERR_RPC, 'Connection reset by peer')
NO_DOMAIN = fakes.error(libvirt.VIR_ERR_NO_DOMAIN)
LET_GO = (libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_RUNNING_MIGRATION_CANCELED)
ACTIVE_JOB = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED}
NO_JOB = {'type': libvirt.VIR_DOMAIN_JOB_NONE}


def settle(domain, error, *, started=True, abort_reason=None, may_abort=True):
    clock = fakes.Clock()
    call = outcome_mod.MigrateCall(started=started, done=True, error=error)
    return outcome_mod.settle(
        guest_mod.MigratingGuest(domain), call, abort_reason=abort_reason, may_abort=may_abort,
        sleep=clock.sleep)


class SettleTest(testtools.TestCase):

    def test_a_call_without_error_is_a_success(self):
        domain = fakes.Domain(state=NO_DOMAIN)
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, None).end)

    def test_libvirts_aborted_is_a_cancel(self):
        self.assertIs(outcome_mod.End.CANCELLED, settle(fakes.Domain(), ABORTED).end)

    def test_our_own_abort_keeps_its_reason(self):
        ended = settle(fakes.Domain(), ABORTED, abort_reason='will not converge')
        self.assertEqual((outcome_mod.End.CANCELLED, 'will not converge'),
                         (ended.end, ended.reason))

    def test_any_other_error_is_a_failure_that_names_it(self):
        ended = settle(fakes.Domain(), fakes.error(1, 'no route to host'))
        self.assertIs(outcome_mod.End.FAILED, ended.end)
        self.assertIn('no route to host', ended.reason)

    def test_an_error_after_the_guest_has_left_is_a_success(self):
        self.assertIs(outcome_mod.End.COMPLETED,
                      settle(fakes.Domain(state=NO_DOMAIN), BROKEN_PIPE).end)

    def test_shut_off_by_migration_is_a_success(self):
        state = (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_MIGRATED)
        self.assertIs(outcome_mod.End.COMPLETED,
                      settle(fakes.Domain(state=state), BROKEN_PIPE).end)

    def test_a_guest_that_shut_itself_off_has_not_moved(self):
        for reason in (libvirt.VIR_DOMAIN_SHUTOFF_SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED,
                       libvirt.VIR_DOMAIN_SHUTOFF_DESTROYED):
            state = (libvirt.VIR_DOMAIN_SHUTOFF, reason)
            self.assertIs(outcome_mod.End.FAILED,
                          settle(fakes.Domain(state=state), fakes.error(1)).end)

    def test_a_guest_that_vanished_before_the_start_has_not_moved(self):
        self.assertIs(outcome_mod.End.FAILED, settle(
            fakes.Domain(state=NO_DOMAIN), fakes.error(1), started=False).end)

    def test_a_job_that_goes_on_without_its_caller_is_ended_and_waited_for(self):
        domain = fakes.Domain(jobStats=[ACTIVE_JOB, ACTIVE_JOB, NO_JOB])
        self.assertIs(outcome_mod.End.FAILED, settle(domain, BROKEN_PIPE).end)
        self.assertEqual(2, len(domain.called('abortJob')))

    def test_a_job_that_finishes_without_its_caller_is_a_success(self):
        domain = fakes.Domain(
            jobStats=[ACTIVE_JOB], state=[fakes.RUNNING, NO_DOMAIN],
            abortJob=fakes.error(libvirt.VIR_ERR_OPERATION_INVALID))
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, BROKEN_PIPE).end)

    def test_nothing_is_aborted_once_post_copy_has_begun(self):
        domain = fakes.Domain(jobStats=[ACTIVE_JOB], state=[fakes.RUNNING, NO_DOMAIN])
        self.assertIs(outcome_mod.End.COMPLETED,
                      settle(domain, BROKEN_PIPE, may_abort=False).end)
        self.assertEqual([], domain.called('abortJob'))

    def test_an_unreachable_libvirt_is_waited_for(self):
        domain = fakes.Domain(state=[BROKEN_PIPE] * 100 + [NO_DOMAIN])
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, BROKEN_PIPE).end)

    def test_a_broken_post_copy_is_told_apart_though_libvirt_keeps_its_job(self):
        state = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
        for stats in (NO_JOB, ACTIVE_JOB):
            for may_abort in (True, False):
                domain = fakes.Domain(state=state, jobStats=stats)
                ended = settle(domain, fakes.error(1), may_abort=may_abort)
                self.assertIs(outcome_mod.End.BROKEN, ended.end)
                self.assertEqual([], domain.called('abortJob'))

    def test_a_guest_that_leaves_between_two_questions_has_left(self):
        domain = fakes.Domain(jobStats=NO_DOMAIN, state=[NO_DOMAIN, fakes.RUNNING])
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, BROKEN_PIPE).end)
        domain = fakes.Domain(jobStats=[ACTIVE_JOB, NO_DOMAIN], state=[fakes.RUNNING, NO_DOMAIN])
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, BROKEN_PIPE).end)

    def test_somebody_elses_post_copy_is_not_aborted(self):
        state = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
        domain = fakes.Domain(state=[state, NO_DOMAIN], jobStats=[ACTIVE_JOB, NO_DOMAIN])
        self.assertIs(outcome_mod.End.COMPLETED, settle(domain, BROKEN_PIPE).end)
        self.assertEqual([], domain.called('abortJob'))


class CertaintyTest(testtools.TestCase):
    """Where the source alone cannot tell that the guest is nowhere else."""

    @staticmethod
    def is_certain(state, error, started=True):
        return settle(fakes.Domain(state=state), error, started=started).is_certain

    def test_a_guest_that_has_run_all_the_time_is_the_sources(self):
        for reason in (libvirt.VIR_DOMAIN_RUNNING_BOOTED, libvirt.VIR_DOMAIN_RUNNING_MIGRATED,
                       libvirt.VIR_DOMAIN_RUNNING_UNPAUSED):
            for error in (ABORTED, BROKEN_PIPE, fakes.error(1), RuntimeError('killed')):
                self.assertTrue(self.is_certain((libvirt.VIR_DOMAIN_RUNNING, reason), error))

    def test_nor_has_one_left_that_libvirt_was_told_to_keep(self):
        self.assertTrue(self.is_certain(LET_GO, ABORTED))

    def test_one_that_libvirt_has_stopped_and_let_run_again_may_have_arrived(self):
        # The reply of the destination may have been lost.
        for error in (BROKEN_PIPE, fakes.error(1), RuntimeError('killed')):
            self.assertFalse(self.is_certain(LET_GO, error))

    def test_nor_is_it_known_of_one_that_does_not_run(self):
        for state in ((libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION),
                      (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
                      (libvirt.VIR_DOMAIN_SHUTOFF, libvirt.VIR_DOMAIN_SHUTOFF_CRASHED),
                      (libvirt.VIR_DOMAIN_CRASHED, 0)):
            for error in (ABORTED, BROKEN_PIPE, fakes.error(1)):
                self.assertFalse(self.is_certain(state, error))

    def test_before_the_call_nothing_has_left(self):
        for state in (LET_GO, (libvirt.VIR_DOMAIN_PAUSED, 1), NO_DOMAIN):
            self.assertTrue(self.is_certain(state, fakes.error(1), started=False))


class ResumeTest(testtools.TestCase):

    def test_a_paused_guest_is_resumed(self):
        domain = fakes.Domain(state=(libvirt.VIR_DOMAIN_PAUSED, 1))
        self.assertIsNone(outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain)))
        self.assertEqual([()], domain.called('resume'))

    def test_one_that_stands_still_for_a_reason_of_its_own_is_left_so(self):
        for reason, word in ((libvirt.VIR_DOMAIN_PAUSED_IOERROR, 'I/O error'),
                             (libvirt.VIR_DOMAIN_PAUSED_WATCHDOG, 'watchdog'),
                             (libvirt.VIR_DOMAIN_PAUSED_CRASHED, 'crashed')):
            domain = fakes.Domain(state=(libvirt.VIR_DOMAIN_PAUSED, reason))
            said = outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain, uuid='5e1f'))
            self.assertIn(word, said)
            self.assertIn('virsh resume 5e1f', said)
            self.assertEqual([], domain.called('resume'))

    def test_an_error_of_a_guest_that_stood_still_already_is_seen(self):
        domain = fakes.Domain(state=(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
                              diskErrors={'vdb': 1})
        self.assertIn('I/O error on vdb',
                      outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain)))
        self.assertEqual([], domain.called('resume'))

    def test_a_libvirt_that_does_not_know_of_errors_is_no_reason_to_stand_still(self):
        domain = fakes.Domain(state=(libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER),
                              diskErrors=fakes.error(libvirt.VIR_ERR_NO_SUPPORT))
        self.assertIsNone(outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain)))
        self.assertEqual([()], domain.called('resume'))

    def test_a_running_one_is_left_alone(self):
        domain = fakes.Domain()
        self.assertIsNone(outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain)))
        self.assertEqual([], domain.called('resume'))

    def test_a_refusal_is_said(self):
        domain = fakes.Domain(state=(libvirt.VIR_DOMAIN_PAUSED, 1),
                              resume=fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, 'no lock'))
        self.assertIn('no lock', outcome_mod.resume_if_paused(guest_mod.MigratingGuest(domain)))
