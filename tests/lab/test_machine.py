# SPDX-License-Identifier: Apache-2.0
"""The hosts come up fast, do not meet each other, and leave nothing."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from unittest import mock

import testtools

from lab import __main__ as command
from lab import domain
from lab import hosts
from lab import link
from lab import machine
from lab import needs
from lab import priority
from lab import processes
from lab import workdir
from tests.lab import base
from tests.lab import leftovers

ROOT = pathlib.Path(__file__).resolve().parents[2]


def spaces():
    """Return the ids of all namespaces that processes are in."""
    found = set()
    for path in pathlib.Path('/proc').glob('[0-9]*/ns/*'):
        try:
            found.add(os.readlink(path))
        except OSError:
            continue
    return found


class TestLife(base.RootTest):

    def test_down_leaves_nothing(self):
        work = self.work_folder()
        lab = hosts.Hosts(work).up()
        inside = [pid for node in (lab.ctl, lab['n1'].machine) for pid in node.processes()]
        own = {os.readlink(f'/proc/{lab["n1"].machine.pid}/ns/{kind}')
               for kind in ('net', 'mnt', 'pid', 'uts', 'ipc')}
        lab['n1'].machine.spawn(['sleep', '1000'], work / 'log')
        lab.down()
        self.assertEqual([], leftovers.footprint(work))
        self.assertFalse(work.exists())
        self.assertFalse(own & spaces())
        self.assertFalse([pid for pid in inside if pathlib.Path(f'/proc/{pid}').exists()])

    def test_two_hosts_answer_within_five_seconds(self):
        began = time.monotonic()
        with hosts.Hosts(self.work_folder()) as lab:
            names = [lab[name].connect().getHostname() for name in lab.names]
            took = time.monotonic() - began
            self.assertEqual(['n1', 'n2'], names)
            self.assertLess(took, 5)

    def crash(self, work):
        """Bring a lab up in a process that dies at once afterwards, without cleaning."""
        script = textwrap.dedent(f"""
            import os, pathlib, signal
            from lab import hosts
            hosts.Hosts(pathlib.Path({str(work)!r})).up()
            os.kill(os.getpid(), signal.SIGKILL)
            """)
        done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, check=False)
        self.assertEqual(-signal.SIGKILL, done.returncode)

    def test_down_cleans_after_a_crash(self):
        work = self.work_folder()
        self.crash(work)
        self.assertEqual(['ctl', 'n1', 'n2'], machine.running(work))
        self.assertEqual(['ctl', 'n1', 'n2'], workdir.down(work))
        self.assertEqual([], leftovers.footprint(work))

    def test_up_cleans_after_a_crash(self):
        work = self.work_folder()
        self.crash(work)
        (work / 'litter').write_text('')
        lab = hosts.Hosts(work).up()
        self.assertFalse((work / 'litter').exists())
        self.assertEqual('n1', lab['n1'].connect().getHostname())

    def test_the_cache_is_kept_unless_told(self):
        work = self.work_folder()
        (work / workdir.CACHE).mkdir(parents=True)
        (work / workdir.CACHE / 'kept').write_text('')
        workdir.down(work)
        self.assertTrue((work / workdir.CACHE / 'kept').exists())
        workdir.down(work, cache=True)
        self.assertFalse(work.exists())

    def test_two_labs_do_not_meet(self):
        with hosts.Hosts(self.work_folder()) as one, hosts.Hosts(self.work_folder()) as other:
            self.assertEqual(one['n1'].address, other['n1'].address)
            one.down()
            self.assertEqual('n1', other['n1'].connect().getHostname())
            self.assertEqual([], machine.running(one.work))

    def test_a_failed_start_leaves_nothing_and_says_why(self):
        work = self.work_folder()
        missing = {'n2': {'/inside': work / 'nowhere'}}
        error = self.assertRaises(needs.LabError, hosts.Hosts(work, binds=missing).up)
        self.assertIn('nowhere', str(error))
        workdir.down(work)
        self.assertEqual([], leftovers.footprint(work))


class TestMachine(base.HostsTest):

    def test_a_machine_has_its_own_names_processes_and_network(self):
        node = self.lab['n1'].machine
        self.assertEqual('n1', node.run(['hostname']).stdout.strip())
        self.assertEqual([self.lab['n2'].address, 'n2'],
                         node.run(['getent', 'hosts', 'n2']).stdout.split())
        self.assertNotEqual(os.readlink('/proc/self/ns/net'),
                            os.readlink(f'/proc/{node.pid}/ns/net'))
        self.assertEqual('sleep', node.run(['cat', '/proc/1/comm']).stdout.strip())

    def test_libvirtd_and_what_it_starts_get_the_processors_first(self):
        if priority.first(['true']) == ['true']:
            self.skipTest('this kernel lets nobody weigh processes')
        node = self.lab['n1'].machine
        names = {pathlib.Path(f'/proc/{pid}/comm').read_text().strip():
                 pathlib.Path(f'/proc/{pid}/cgroup').read_text() for pid in node.processes()}
        self.assertIn('migpolicy-lab', names['libvirtd'])

    def test_a_failed_command_says_what_it_said(self):
        error = self.assertRaises(needs.LabError, self.lab['n1'].machine.run,
                                  ['sh', '-c', 'echo alas >&2; exit 3'])
        self.assertIn('alas', str(error))
        self.assertIn('3', str(error))

    def test_processes_are_seen_and_orphans_reaped(self):
        node = self.lab['n1'].machine
        process = node.spawn(['sh', '-c', '(sleep 0 &) ; exec sleep 100'],
                             self.lab.work / 'sleep.log')
        self.addCleanup(process.kill)
        domain.wait_until(lambda: process.pid in node.processes())

        # Neither running nor waited for: it is gone, or a zombie for good.
        domain.wait_until(lambda: all(processes.alive(pid) for pid in node.processes()))
        process.kill()
        self.assertEqual(-signal.SIGKILL, process.wait(5) or -signal.SIGKILL)
        self.assertFalse(process.alive())

    def test_the_hosts_can_be_found_again(self):
        again = hosts.attach(self.lab.work)
        self.assertEqual(self.lab.names, again.names)
        self.assertEqual('n2', again['n2'].connect().getHostname())
        self.assertTrue(again['n1'].consoles.is_dir())
        again['n2'].close()

    def test_an_unknown_host_is_named(self):
        error = self.assertRaises(needs.LabError, lambda: self.lab['n9'])
        self.assertIn('n9', str(error))


class TestSharedStorage(base.HostsTest):

    storage = 'shared'

    def test_the_disks_are_not_copied(self):
        self.boot('idle', disks_mib=(32,))
        migration = self.migrate().wait()
        self.assertIsNone(migration.error)
        self.assertEqual(0, migration.completed['disk_total'])
        self.assert_beats('n2')
        self.assertEqual(self.lab['n1'].images, self.lab['n2'].images)


class TestMissing(testtools.TestCase):
    """What is said when something is missing; needs nothing."""

    def test_root(self):
        with mock.patch.object(os, 'geteuid', return_value=1000):
            self.assertIn('root', ' '.join(needs.check_system()))

    def test_another_system(self):
        with mock.patch('platform.system', return_value='Darwin'):
            [said] = needs.check_system()
        self.assertIn('Darwin', said)
        self.assertIn('Linux', said)

    def test_a_package(self):
        def which(name):
            return None if name == 'qemu-img' else name

        with mock.patch.object(needs, 'which', which):
            [said] = needs.missing(needs.HYPERVISOR)
        self.assertEqual('qemu-img not found; install with: '
                         'apt-get install --no-install-recommends qemu-utils', said)

    def test_all_is_said_at_once(self):
        error = self.assertRaises(needs.LabError, needs.require, ['one', 'two'])
        self.assertEqual('one\ntwo', str(error))

    def test_the_kernels_lack_of_delay_is_told(self):
        node = mock.Mock()
        node.name = 'n1'
        node.network.return_value.returncode = 2
        node.network.return_value.stderr = 'Specified qdisc kind is unknown.'
        error = self.assertRaises(needs.LabError, link.shape, node, node, delay_ms=5)
        self.assertIn('sch_netem', str(error))


class TestCommand(base.RootTest):

    def lab(self, work, *words):
        return subprocess.run([sys.executable, '-m', 'lab', '--work', str(work), *words],
                              cwd=ROOT, capture_output=True, text=True, check=False)

    def test_a_whole_life(self):
        work = self.work_folder()
        up = self.lab(work, 'up')
        self.assertEqual(0, up.returncode, up.stderr)
        self.assertEqual('n2', self.lab(work, 'on', 'n2', 'hostname').stdout.strip())
        self.assertEqual(0, self.lab(work, 'shape', 'n1', '--rate', '50').returncode)
        self.assertIn('tbf', self.lab(work, 'status').stdout)
        down = self.lab(work, 'down')
        self.assertIn('ctl, n1, n2', down.stdout)
        self.assertEqual([], leftovers.footprint(work))

    def test_status_without_a_lab_says_what_to_do(self):
        status = self.lab(self.work_folder(), 'status')
        self.assertEqual(1, status.returncode)
        self.assertIn('python -m lab up', status.stderr)
        self.assertNotIn('Traceback', status.stderr)

    def test_a_guests_image_is_written(self):
        work = self.work_folder()
        image = work.parent / 'image'
        done = self.lab(work, 'guest', str(image), '--kind', 'random', '--set', '32.5')
        self.assertEqual(0, done.returncode, done.stderr)
        self.assertEqual(1 << 20, image.stat().st_size)
        too_much = self.lab(work, 'guest', str(image), '--set', '500')
        self.assertEqual(1, too_much.returncode)
        self.assertIn('does not fit', too_much.stderr)

    def test_wrong_usage(self):
        for words in (['up', '--hosts', '0'], ['shape', 'n1'], ['on', 'n1']):
            done = self.lab(self.work_folder(), *words)
            self.assertEqual(1, done.returncode)
            self.assertTrue(done.stderr.startswith('lab: '), done.stderr)

    def test_help_is_for_people(self):
        with mock.patch('sys.stdout') as out, testtools.ExpectedException(SystemExit):
            command.main(['--help'])
        text = ''.join(call.args[0] for call in out.write.call_args_list)
        self.assertIn('examples:', text)
