# SPDX-License-Identifier: Apache-2.0
"""What is written down of migrations on a host is shown to its operator, and not touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from nova_migpolicy.recovery import account
from nova_migpolicy.recovery import advice
from nova_migpolicy import written
from tests.unit.cmd import base
from tests.unit.recovery import cases
from tests.unit.recovery import looks

LONG = 'compute-with-a-long-name.rack17.region-one.example.org'
AS_ANOTHER = """
import os, sys
from nova_migpolicy.cmd import main
if os.getuid():
    os.chmod(sys.argv[1] + '/migpolicy/recovery', 0)
else:
    os.setresuid(65534, 65534, 65534)
sys.exit(main.main(['recovery', 'list', '--state-path', sys.argv[1]]))
"""
HELD = 'both hosts run the guest'


class RecoveryTest(base.CommandTest):

    def setUp(self):
        super().setUp()
        self.records = written.Records(self.folder / written.FOLDER)
        self.now_s = time.time()

    def keep(self, kind=None, reason='any', age_s=60.0, seen=None, seen_ago_s=5.0, **changes):
        undecided = kind and {'since_s': self.now_s - age_s, 'kind': kind, 'reason': reason,
                              'seen': seen, 'seen_s': self.now_s - seen_ago_s}
        self.records.keep(cases.a_record(undecided=undecided, started_s=self.now_s - 7200,
                                         **changes))

    def put(self, name, content):
        folder = self.folder / written.FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)

    def recovery(self, *words):
        """Exit status and output."""
        status, out, errors = self.run_it('recovery', *words, '--state-path', self.folder)
        self.assertEqual('', errors)
        for line in out.splitlines() if 'json' not in words else ():
            self.assertLessEqual(len(line), 100)
        return status, out

    def error(self, *words):
        status, out, errors = self.run_it('recovery', *words)
        self.assertEqual((2, ''), (status, out))
        self.assertEqual(1, errors.count('\n'), errors)
        return errors.removeprefix('nova-migpolicy: ').rstrip()


class ListTest(RecoveryTest):

    def test_nothing(self):
        status, out = self.recovery('list')
        self.assertEqual((0, 'Nothing is undecided. 0 migrations written down in '),
                         (status, out[:51]))
        self.assertEqual([], os.listdir(self.folder))

    def test_what_is_under_way_is_not_undecided(self):
        self.keep()
        status, out = self.recovery('list')
        self.assertEqual(0, status)
        self.assertIn('Nothing is undecided. 1 migration written down', out)
        status, out = self.recovery('list', '--all')
        self.assertEqual(0, status)
        self.assertRegex(out, f'{cases.SERVER}  -          -   +compute2')

    def test_what_is_held(self):
        self.keep('hold', HELD, age_s=7200)
        status, out = self.recovery('list')
        self.assertEqual(1, status)
        self.assertRegex(out, f'{cases.SERVER}  hold       .*, 120 min +compute2\n')
        whole = ' '.join(out.split())
        self.assertIn(f'reason: {HELD} to do: {advice.what_to_do("hold", HELD, "")}.', whole)

    def test_what_passes_by_itself(self):
        self.keep('wait', 'the destination does not answer')
        self.assertEqual(0, self.recovery('list')[0])

    def test_what_should_have_passed(self):
        self.keep('wait', 'the destination does not answer', age_s=30 * 3600)
        status, out = self.recovery('list')
        self.assertEqual(1, status)
        self.assertIn(', 30 hours', out)

    def test_of_long_ago(self):
        self.keep('wait', age_s=10 * 86400)
        self.assertIn(', 10 days', self.recovery('list')[1])

    def test_names_and_reasons_of_any_kind(self):
        self.keep('hold', 'Odd: \x1b[31m' + 'word ' * 200, destination=LONG)
        status, out = self.recovery('list')
        self.assertEqual(1, status)
        self.assertIn('compute-with-a-long-nam…\n', out)
        self.assertNotIn('\x1b', out)

    def test_files_that_are_not_used(self):
        self.keep()
        self.put(f'{cases.OTHER}.json', b'{')
        self.put(f'{cases.OTHER}.json.set-aside', b'')
        status, out = self.recovery('list')
        self.assertEqual(1, status)
        whole = ' '.join(out.split())
        self.assertIn(f'{cases.OTHER}.json is not used: record of a migration, document: it is '
                      'cut off after 1 bytes to do: ', whole)
        self.assertIn(f'{cases.OTHER}.json.set-aside is not used: ', whole)
        self.assertEqual(3, len(os.listdir(self.folder / written.FOLDER)))

    def test_as_json(self):
        self.keep('hold', HELD)
        self.put('a.json', b'')
        status, out = self.recovery('list', '-f', 'json')
        found = json.loads(out)
        self.assertEqual(1, status)
        self.assertEqual(str(self.folder / written.FOLDER), found['folder'])
        one, = found['migrations']
        self.assertEqual(
            (cases.SERVER, cases.MIGRATION, 'compute1', 'compute2', 'copying', 'hold', HELD),
            tuple(one[name] for name in ('server', 'migration', 'source', 'destination', 'phase',
                                         'next_step', 'reason')))
        self.assertEqual(advice.what_to_do('hold', HELD, cases.SERVER), one['what_to_do'])
        self.assertEqual(['a.json'], [os.path.basename(one['file']) for one in found['unused']])

    def test_on_a_narrow_terminal(self):
        self.keep('hold', HELD, destination=LONG)
        with self.narrow(70):
            out = self.recovery('list')[1]
        self.assertLessEqual(max(map(len, out.splitlines()[1:])), 70)

    def narrow(self, columns):
        return base.fixtures.EnvironmentVariable('COLUMNS', str(columns))


class ShowTest(RecoveryTest):

    def test_by_server_or_migration(self):
        self.keep('hold', HELD)
        for one in (cases.SERVER, cases.MIGRATION, cases.SERVER.upper()):
            status, out = self.recovery('show', one)
            self.assertEqual(1, status)
            self.assertRegex(out, f'server +{cases.SERVER}\nmigration +{cases.MIGRATION}\n')
            self.assertRegex(out, 'phase +copying\nnext step +hold\n')
            self.assertRegex(out, 'policy +max_downtime_ms=500, remedies=bandwidth\n')

    def test_what_was_seen(self):
        self.keep('hold', HELD, seen=looks.seen().to_dict())
        whole = ' '.join(self.recovery('show', cases.SERVER)[1].split())
        self.assertIn(f'seen {account.seen_in_words(looks.seen().to_dict())} looked at ', whole)
        one, = json.loads(self.recovery('show', cases.SERVER, '-f', 'json')[1])
        self.assertEqual(looks.seen().to_dict(), one['seen'])

    def test_one_that_is_under_way(self):
        self.keep()
        status, out = self.recovery('show', cases.SERVER)
        self.assertEqual(0, status)
        self.assertRegex(out, 'next step +none: it is under way\n')

    def test_no_secret_is_shown(self):
        self.keep('hold', source_bdms={'auth_password': 'hush'}, migrate_data={'key': 'hush'})
        for words in ((), ('-f', 'json')):
            self.assertNotIn('hush', self.recovery('show', cases.SERVER, *words)[1])

    def test_as_json(self):
        self.keep('hold', HELD)
        one, = json.loads(self.recovery('show', cases.SERVER, '-f', 'json')[1])
        self.assertEqual((HELD, 2, {'bandwidth_mib_s': 10}), (
            one['reason'], one['tries'], one['policy']['held']))

    def test_one_that_there_is_not(self):
        self.keep()
        said = self.error('show', 'foo', '--state-path', self.folder)
        self.assertIn("UUID 'foo': nothing is written down of it in ", said)


class ReleaseTest(RecoveryTest):

    def setUp(self):
        super().setUp()
        for name, value in (('SUDO_USER', 'ann'), ('LOGNAME', 'root')):
            self.useFixture(base.fixtures.EnvironmentVariable(name, value))

    def release(self, *words, answer=b'', server=cases.SERVER):
        status, out, errors = self.run_it('recovery', 'release', server, '--state-path',
                                          self.folder, *words, stdin=answer)
        return status, ' '.join(out.split()), errors

    def assert_refused(self, *parts, **more):
        kept = self.records.look()
        status, out, errors = self.release('--yes', **more)
        self.assertEqual((2, '', 1), (status, out, errors.count('\n')), errors)
        for part in parts:
            self.assertIn(part, errors)
        self.assertEqual(kept, self.records.look())

    def test_it_says_what_it_knows_and_asks(self):
        self.keep('hold', 'neither host has the guest')
        status, out, errors = self.release(answer=b'yes\n')
        self.assertEqual((0, ''), (status, errors))
        for part in (f'server {cases.SERVER}', f'migration {cases.MIGRATION}', 'from compute1',
                     'to compute2', 'phase copying', 'reason neither host has the guest',
                     'its next start is allowed, once', 'Type "yes" to release it: ',
                     f'Server {cases.SERVER} is released.'):
            self.assertIn(part, out)
        self.assertEqual(([], []), self.records.look())
        [found] = self.records.releases()
        self.assertEqual((cases.SERVER, 'ann as root', False),
                         (found.record.server, found.by, found.is_used))
        self.assertLessEqual(self.now_s, found.at_s)

    def test_any_other_answer_changes_nothing(self):
        self.keep('hold')
        for answer in (b'', b'no\n', b'y\n', b'yes, but\n'):
            status, out, errors = self.release(answer=answer)
            self.assertEqual((1, ''), (status, errors))
            self.assertIn('Nothing was changed.', out)
        self.assertEqual([], self.records.releases())
        self.assertEqual(1, len(self.records.all()))

    def test_without_a_question(self):
        self.keep('wait', 'the destination does not answer')
        status, out, _ = self.release('--yes', server=cases.SERVER.upper())
        self.assertEqual(0, status)
        self.assertNotIn('Type', out)
        self.assertEqual(1, len(self.records.releases()))

    def test_all_undecided_migrations_of_a_server(self):
        self.keep('hold')
        self.keep('hold', migration=cases.OTHER)
        self.assertEqual(0, self.release('--yes')[0])
        self.assertEqual(2, len(self.records.releases()))

    def test_a_server_of_which_nothing_is_written_down(self):
        self.assert_refused(f"SERVER '{cases.SERVER}': no unfinished migration of it is written "
                            'down in ')
        self.keep('hold')
        self.assert_refused('no unfinished migration', server=cases.OTHER)
        self.assert_refused('the UUID of the server is needed', server='web1')

    def test_one_that_is_under_way(self):
        self.keep()
        self.keep('hold', migration=cases.OTHER)
        self.assert_refused(f'its migration {cases.MIGRATION} is under way, and not undecided')

    def test_a_second_time(self):
        self.keep('hold')
        self.release('--yes')
        self.assert_refused('ann as root has released it at ', ', and it may be started')
        self.records.use_release(cases.SERVER, cases.MIGRATION)
        self.assert_refused(', and it was started since')

    def test_nova_compute_has_gone_on_while_it_was_asked(self):
        self.keep('hold')
        with base.fixtures.MonkeyPatch('nova_migpolicy.cmd.recovery._is_agreed',
                                       lambda: self.keep('hold', 'another') or True):
            status, _, errors = self.release()
        self.assertEqual(2, status)
        self.assertIn('nova-compute has gone on with its migration meanwhile', errors)
        self.assertEqual([], self.records.releases())

    def test_nova_compute_has_looked_again_while_it_was_asked(self):
        self.keep('hold', seen_ago_s=20.0)
        with base.fixtures.MonkeyPatch('nova_migpolicy.cmd.recovery._is_agreed',
                                       lambda: self.keep('hold', seen_ago_s=0.0) or True):
            status, _, errors = self.release()
        self.assertEqual((0, ''), (status, errors))

    def test_where_it_cannot_be_written(self):
        self.keep('hold')
        (self.folder / written.FOLDER / f'{cases.MIGRATION}.json.released.new').mkdir()
        status, _, errors = self.release('--yes')
        self.assertEqual(2, status)
        self.assertIn('it is not released: the record of a migration was not kept in ', errors)
        self.assertEqual(1, len(self.records.all()))


class ReleaseHereTest(RecoveryTest):
    """On the host that is to start the server, where its source is off."""

    def setUp(self):
        super().setUp()
        self.place = self.folder / written.FOLDER
        self.place.parent.mkdir()
        for name, value in (('SUDO_USER', 'ann'), ('LOGNAME', 'root')):
            self.useFixture(base.fixtures.EnvironmentVariable(name, value))

    def release(self, *words, answer=b'', server=cases.SERVER):
        status, out, errors = self.run_it(
            'recovery', 'release', '--here', server, '--state-path', self.folder, *words,
            stdin=answer)
        return status, ' '.join(out.split()), errors

    def here(self):
        return self.records.released_here(cases.SERVER)

    def test_it_says_what_it_allows_and_asks(self):
        status, out, errors = self.release(answer=b'yes\n')
        self.assertEqual((0, ''), (status, errors))
        for part in (f'If you release server {cases.SERVER} here, its next start on this host',
                     'not answer is powered off', 'Type "yes" to release it: ',
                     f'openstack server evacuate --host HOST {cases.SERVER}'):
            self.assertIn(part, out)
        [found] = self.here()
        self.assertEqual(('ann as root', False), (found.by, found.is_used))
        self.assertLessEqual(self.now_s, found.at_s)

    def test_any_other_answer_changes_nothing(self):
        for answer in (b'', b'no\n'):
            status, out, _ = self.release(answer=answer)
            self.assertEqual((1, True), (status, 'Nothing was changed.' in out))
        self.assertEqual([], self.here())

    def test_without_a_question(self):
        status, out, _ = self.release('--yes', server=cases.SERVER.upper())
        self.assertEqual((0, False), (status, 'Type' in out))
        self.assertEqual(1, len(self.here()))

    def assert_refused(self, part, **more):
        status, out, errors = self.release('--yes', **more)
        self.assertEqual((2, '', 1), (status, out, errors.count('\n')), errors)
        self.assertIn(part, errors)
        self.assertEqual([], self.here())

    def test_a_name_of_a_server(self):
        for wrong in ('web1', '', '../../etc', cases.SERVER[:-1]):
            self.assert_refused(f'SERVER {wrong!r}: the UUID of the server is needed',
                                server=wrong)

    def test_on_the_source(self):
        for kind in (None, 'hold'):
            self.keep(kind)
            self.assert_refused(f"--here '{cases.SERVER}': its migration {cases.MIGRATION} is "
                                'written down here; leave that option out')

    def test_where_the_plugin_has_never_run(self):
        self.place.parent.rmdir()
        self.assert_refused('nova-compute has never run here with this plugin')

    def test_where_it_cannot_be_written(self):
        self.place.mkdir()
        (self.place / f'{cases.SERVER}.released-here.new').mkdir()
        status, _, errors = self.release('--yes')
        self.assertEqual((2, []), (status, self.here()))
        self.assertIn('it is not released: the record of a migration was not kept in ', errors)

    def test_it_is_told_where_one_asks_without_that_option(self):
        words = ('recovery', 'release', cases.SERVER, '--state-path', self.folder, '--yes')
        self.assertIn('use --here on the host that is to start it',
                      self.run_it(*words)[2])
        self.release('--yes')
        self.assertIn('ann as root has released it at ', self.run_it(*words)[2])


class PlaceTest(RecoveryTest):

    def test_by_the_configuration(self):
        self.keep('hold', HELD)
        files = [self.file('nova.conf', b'[DEFAULT]\nstate_path = /nowhere\n[other]\na = b\n'),
                 self.file('compute.conf', f'[DEFAULT]\nstate_path = {self.folder}\n'.encode())]
        status, out, errors = self.run_it(
            'recovery', 'list', '--config-file', files[0], '--config-file', files[1])
        self.assertEqual((1, ''), (status, errors))
        self.assertIn(HELD, out)

    def test_a_place_that_is_none(self):
        self.assertEqual(
            "state_path '/nowhere': there is no such folder; name nova-compute's with "
            '--config-file or --state-path', self.error('list', '--state-path', '/nowhere'))

    def test_a_configuration_that_cannot_be_read(self):
        said = self.error('list', '--config-file', self.folder / 'none.conf')
        self.assertIn('none.conf', said)
        self.assertIn('give --state-path instead', said)
        broken = self.file('broken.conf', b'[DEFAULT\nstate_path\n')
        self.assertIn('broken.conf', self.error('list', '--config-file', broken))

    def test_a_folder_that_may_not_be_read(self):
        self.keep()
        for folder in (self.folder, self.folder / 'migpolicy'):
            folder.chmod(0o755)
        done = subprocess.run(
            [sys.executable, '-c', AS_ANOTHER, str(self.folder)], capture_output=True, text=True,
            check=False, cwd=base.pathlib.Path(__file__).parents[3])
        (self.folder / written.FOLDER).chmod(0o700)
        self.assertEqual((2, ''), (done.returncode, done.stdout))
        self.assertIn('it cannot be read: Permission denied; run this as root or as the user of '
                      'nova-compute', done.stderr)

    def test_words_that_are_wrong(self):
        self.assertIn('COMMAND', self.error())
        self.assertIn("invalid choice: 'dance'", self.error('dance'))
        self.assertIn('UUID', self.error('show'))
        self.assertIn("invalid choice: 'yaml'", self.error('list', '-f', 'yaml'))
