# SPDX-License-Identifier: Apache-2.0
"""What a session asks and tells QEMU before memory is sent, and what it leaves out."""

from __future__ import annotations

import types

import libvirt
import testtools

from nova_migpolicy.compute import fits
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import hung
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import journal_reader
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary
from tests.unit.compute import sessions
from tests.unit.monitor import fakes
from tests.unit.recovery import cases as recovery_cases

NO_USERFAULTFD = ("internal error: unable to execute QEMU command 'migrate-set-capabilities': "
                  'Postcopy is not supported: Userfaultfd not available')
WITH_VGPU = '<domain><devices><hostdev mode="subsystem" type="mdev"/></devices></domain>'
QEMU_7 = {'qemu': {'major': 7, 'minor': 2, 'micro': 15}, 'package': 'Debian'}
UNTOUCHED = {'fields': {}, 'origins': {}, 'request': {}, 'retuned': {}, 'held': {}}
REFUSED = fakes.error(libvirt.VIR_ERR_OPERATION_FAILED, 'not now')


class SessionTest(sessions.SessionCase):

    def make(self, *args, **kwargs):
        """Build a session, and prepare its migration."""
        made = self.build(*args, **kwargs)
        made.prepare(None)
        return made

    def migrate(self, made, *errors):
        """Make the migrate call, which fails with these errors in turn; returns flags of each."""
        self.domain.answers['migrateToURI3'] = [*errors, 0]
        seen = []
        domain = types.SimpleNamespace(migrateToURI3=lambda destination, params, flags: (
            seen.append(flags), self.domain.migrateToURI3())[1])
        made.planned_domain(domain, 0).migrateToURI3('there', params={}, flags=0)
        return seen

    @staticmethod
    def events(made):
        return [record['text'] for record in made.journal.records()
                if record['kind'] == 'event']

    def test_devices_are_those_of_the_guest(self):
        made = self.make({'XMLDesc': WITH_VGPU}, profile='evacuate')
        [flags] = self.migrate(made)
        self.assertFalse(flags & libvirt.VIR_MIGRATE_POSTCOPY)
        [note] = made.in_force()['notes']
        self.assertIn('post_copy is left out: the server has a VFIO device', note)
        self.assertIn(note, self.events(made))

    def test_the_qemu_that_runs_the_guest_is_asked_where_it_matters(self):
        upgraded = {'qemu_version': 10_001_000}
        asked = {'remedies': 'post_copy', 'parallel_connections': '4'}
        made = self.make({'query-version': QEMU_7}, upgraded, **asked)
        self.assertEqual(['query-version'], self.commands)
        [note] = made.in_force()['notes']
        self.assertIn('the QEMU that runs the server', note)
        # Nothing hangs on it.
        self.make({'query-version': QEMU_7}, upgraded, remedies='post_copy')
        self.assertEqual([], self.commands)
        # Not permitted.
        made = self.make({'query-version': QEMU_7}, {**upgraded, 'allow_qmp': False}, **asked)
        self.assertEqual(([], []), (self.commands, made.in_force()['notes']))

    def test_what_the_guest_does_not_tell_is_taken_from_nova(self):
        for answers in ({'query-version': {'error': {'desc': 'no'}}},
                        {'query-version': {'qemu': {'major': 'x'}}},
                        {'XMLDesc': fakes.error(libvirt.VIR_ERR_RPC)},
                        {'XMLDesc': 'no XML'}, {'XMLDesc': None}):
            made = self.make({'query-version': {'qemu': {'major': 10, 'minor': 1, 'micro': 0}},
                              **answers}, {'qemu_version': 10_001_000},
                             remedies='post_copy', parallel_connections='4')
            self.assertEqual([], made.in_force()['notes'])
            self.assertEqual(1, len(self.events(made)), answers)
            self.assertTrue(self.migrate(made)[0] & libvirt.VIR_MIGRATE_POSTCOPY)

    def test_what_is_refused_at_the_start_is_left_out_and_told_everywhere(self):
        made = self.make(profile='evacuate')
        flags = self.migrate(made, fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, NO_USERFAULTFD))
        self.assertEqual([True, False],
                         [bool(one & libvirt.VIR_MIGRATE_POSTCOPY) for one in flags])
        self.assertEqual((fits.POST_COPY,), made.call.left_out)
        [note] = made.in_force()['notes']
        self.assertIn('post_copy is left out: it was refused: internal error', note)
        self.assertIn('Userfaultfd', note)
        self.assertIn(note, self.events(made))
        # Also when it is over.
        made.record_cancel_before_start(outcome_mod.Outcome(outcome_mod.End.CANCELLED, 'because'))
        records = journal_reader.MemoryRecords(made.journal)
        self.assertEqual([note], journal_reader.policy(records)['notes'])

    def test_what_follows_from_a_refusal_is_told_as_well_and_each_once(self):
        made = self.make(None, {'libvirt_version': 9_004_000}, compression='zstd',
                         parallel_connections='4')
        self.migrate(made, fakes.error(
            libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
            "Migration option 'multifd' is not supported by QEMU binary"))
        notes = made.in_force()['notes']
        self.assertEqual((2, notes), (len(notes), self.events(made)))

    def test_a_plan_that_is_made_later_does_not_have_it_either(self):
        made = self.make(profile='evacuate')
        self.migrate(made, fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, NO_USERFAULTFD))
        facts = made.facts(made._plan, 0)
        self.assertEqual((False, True), (facts.can_post_copy, facts.can_throttle))

    def test_auto_converge_that_could_not_be_armed_is_noted(self):
        made = self.make({'migrate-set-parameters': {'error': {'desc': 'no'}}},
                         remedies='auto_converge')
        [note] = made.in_force()['notes']
        self.assertIn('auto_converge is left out', note)

    def test_a_cancel_that_waits_is_not_overtaken(self):
        made = self.make(profile='evacuate')
        made.inbox.ask(inbox_mod.Command(vocabulary.CANCEL))
        error = fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, NO_USERFAULTFD)
        self.assertRaises(libvirt.libvirtError, self.migrate, made, error)
        self.assertEqual(1, len(self.domain.called('migrateToURI3')))
        self.assertEqual(((), []), (made.call.left_out, made.in_force()['notes']))

    def test_what_the_monitor_has_seen_counts(self):
        for may, calls in ((True, 2), (False, 1)):
            made = self.make(profile='evacuate')
            made._monitor = types.SimpleNamespace(may_begin_again=may)
            error = fakes.error(libvirt.VIR_ERR_INTERNAL_ERROR, NO_USERFAULTFD)
            if may:
                self.migrate(made, error)
            else:
                self.assertRaises(libvirt.libvirtError, self.migrate, made, error)
            self.assertEqual(calls, len(self.domain.called('migrateToURI3')))

    def test_a_switchover_with_a_vfio_device_may_take_its_time(self):
        for definition, has_grace in (('<domain/>', True), (WITH_VGPU, False)):
            closed = []
            made = self.make({'XMLDesc': definition}, outside=types.SimpleNamespace(
                state=lambda: hung.STOPPED,
                close=lambda targets, closed=closed: (closed.append(targets), (['it'], ''))[1]))
            made._monitor = types.SimpleNamespace(
                switchover=lambda: hung.Switchover(None, 0.5, None, True), aborted=lambda: None)
            made._hung._guest = types.SimpleNamespace(
                uuid='s', unanswered=('jobStats', made.inbox.clock() - 130.0))
            made.look_from_outside()
            self.assertEqual(has_grace, bool(closed), definition)


class TestLimit(testtools.TestCase):

    def believed(self, **answers):
        """The limit in ms that the engine is told."""
        domain = fakes.Domain(**answers)
        resolved = resolve.resolve(resolve.Sources(flavor={
            'max_downtime_ms': '200', 'initial_downtime_ms': '200'}))
        made = session_mod.Session(
            session_mod.MigrationFacts(
                instance=types.SimpleNamespace(uuid='5e1f'), migration='9a0b',
                destination='n2', resolved=resolved, resolver=lambda retune: resolved,
                memory_bytes=1 << 30, link_mib_s=None, circumstances=migrate_call.Circumstances(
                    paused=False, persistent_memory=False, tunnelled=False,
                    nova_post_copy=False, allow_qmp=False, libvirt_version=9_000_000,
                    qemu_version=7_002_000)),
            guest_mod.MigratingGuest(domain), inbox_mod.Inbox(), journal_mod.Journal(None, 0.0, 0),
            link_rates.LinkRates(None))
        made.prepare(None)
        [(self.asked_ms, _)] = domain.called('migrateSetMaxDowntime')
        return made.facts(made._plan, 0).qemu_limit_ms

    def test_what_was_set(self):
        self.assertEqual(140, self.believed())
        self.assertEqual(140, self.asked_ms)

    def test_what_qemu_has_where_that_was_refused(self):
        self.assertEqual(777, self.believed(
            migrateSetMaxDowntime=REFUSED, migrateGetMaxDowntime=777))
        self.assertEqual(140, self.asked_ms)

    def test_qemus_own_where_libvirt_does_not_know(self):
        self.assertEqual(300, self.believed(
            migrateSetMaxDowntime=REFUSED, migrateGetMaxDowntime=REFUSED))


class TakeOverTest(sessions.SessionCase):
    """What is taken over of a migration that another process has steered until now."""

    def take(self, answers=None, policy=None, was_paused=False, **keys):
        """Take over from a libvirt that answers so; returns what was taken over."""
        made = self.build({'migrateGetMaxSpeed': 40, 'migrateGetMaxDowntime': 300,
                           **(answers or {})}, **{'bandwidth_mib_s': '40', **keys})
        made.take_over(recovery_cases.a_record(
            policy={**UNTOUCHED, **(policy or {})}, was_paused=was_paused))
        self.made = made
        return made._taken_over

    def test_the_settings_are_libvirts(self):
        found = self.take()
        self.assertEqual(settings_mod.Settings(
            40, 300, settings_mod.promised_ms(300, 40, settings_mod.Link())), found.settings)
        self.assertEqual(({}, {}, ()), (found.held, found.retuned, found.done))
        # Nothing is changed, and nothing that was prepared is prepared again.
        for name in ('migrateSetMaxSpeed', 'migrateSetMaxDowntime'):
            self.assertEqual([], self.domain.called(name))
        self.assertNotIn('migrate-set-parameters', self.commands)

    def test_no_cap(self):
        self.assertEqual(0, self.take({'migrateGetMaxSpeed': guest_mod.UNLIMITED_MIB_S},
                                      bandwidth_mib_s='0').settings.cap_mib_s)

    def test_a_cap_that_had_given_way_is_the_policys_again(self):
        self.assertEqual(40, self.take({'migrateGetMaxSpeed': 1}).settings.cap_mib_s)
        self.assertEqual([(40, 0)], self.domain.called('migrateSetMaxSpeed'))

    def test_a_higher_cap_stays(self):
        self.assertEqual(90, self.take({'migrateGetMaxSpeed': 90}).settings.cap_mib_s)
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_a_cap_that_an_operator_holds_stays(self):
        found = self.take({'migrateGetMaxSpeed': 5}, {
            'held': {'bandwidth_mib_s': 5}, 'retuned': {'bandwidth_mib_s': 5}})
        self.assertEqual((5, {'bandwidth_mib_s': 5}, {'bandwidth_mib_s': 5}),
                         (found.settings.cap_mib_s, found.held, found.retuned))
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_what_cannot_be_held_here_is_not(self):
        found = self.take(policy={'held': {
            'haste': 3, 'max_downtime_ms': 'long', 'bandwidth_mib_s': True}})
        self.assertEqual({}, found.held)

    def test_post_copy_is_seen_and_its_rate_left_alone(self):
        post_copy = libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY
        found = self.take({'state': post_copy, 'migrateGetMaxSpeed': 1}, remedies='post_copy')
        self.assertEqual((remedies.StartPostCopy(),), found.done)
        self.assertEqual([], self.domain.called('migrateSetMaxSpeed'))

    def test_a_pause_for_the_migration_is_seen_and_one_by_its_user_is_not(self):
        by_somebody = {'state': (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_USER)}
        self.assertEqual((remedies.Pause(),), self.take(by_somebody).done)
        self.assertEqual((), self.take(by_somebody, was_paused=True).done)
        self.assertEqual((), self.take({
            'state': (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION)}).done)

    def test_a_libvirt_that_does_not_tell_is_asked_again_at_the_next_look(self):
        away = fakes.error(libvirt.VIR_ERR_RPC, 'the connection is dead')
        for name in ('state', 'migrateGetMaxSpeed', 'migrateGetMaxDowntime'):
            self.assertRaises(exception.GuestError, self.take, {name: away})

    def test_the_throttle_is_the_last_that_was_set(self):
        self.assertEqual(0, self.take(remedies='auto_converge').settings.throttle_percent)
        self.assertTrue(self.made._throttle_is_held)
        self.take(remedies='none')
        self.assertFalse(self.made._throttle_is_held)
