# SPDX-License-Identifier: Apache-2.0
"""The guests do what they are asked for, in real QEMU."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import tempfile

import libvirt
import testtools
from testtools import content

from lab import domain
from lab import guests
from lab import heartbeat
from lab import libvirtd
from lab import needs
from tests.lab import base

PAGES = 256     # per MiB


class TestImage(testtools.TestCase):

    def setUp(self):
        super().setUp()
        if needs.check_guests():
            self.skipTest(needs.check_guests()[0])
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name) / 'image'

    def test_an_image_has_a_partition(self):
        for size in (1, 3):
            image = guests.Guest().image(self.path, size).read_bytes()
            self.assertEqual(size << 20, len(image))
            self.assertEqual(b'\x55\xaa', image[510:512])
            first, sectors = (int.from_bytes(image[at:at + 4], 'little') for at in (454, 458))
            self.assertEqual(size * 2048, first + sectors)

    def test_what_does_not_fit_is_refused(self):
        for wrong, word in (
                (guests.Guest(memory_mib=4), '8 to 3072'),
                (guests.Guest('sweep', 64, 63), '62'),
                (guests.Guest('sweep', 64, 32, rate_mib_s=-1), '-1'),
                (guests.Guest('hotcold', 64, 32, hot_mib=33), 'hot'),
                (guests.Guest('bursts', 64, 32, on_ms=600_000), '599'),
                (guests.Guest('phases', 64, 32, then_set_mib=100), '100'),
                (guests.Guest('sweep', 64, 32, untouched_mib=40), '22'),
                (guests.Guest('idle', 64, untouched_mib=62), 'untouched'),
                (guests.Guest('idle', 64, untouched_mib=-1), 'untouched'),
                (guests.Guest('idle', 64, processors=0), '1 to 8'),
                (guests.Guest('idle', 64, processors=9), '1 to 8')):
            error = self.assertRaises(needs.LabError, wrong.image, self.path)
            self.assertIn(word, str(error))


class RatesCase(base.HostsTest):
    """Measures what a guest writes."""

    def mib_per_s(self, seconds=2):
        """Measure what the guest writes, by this machine's clock, from one line to a later one."""
        marks = self.beats.marks
        first = len(marks())
        domain.wait_until(lambda: len(marks()) > first + seconds, what='counters')
        self.addDetail('marks', content.text_content(repr(marks())))
        return mib_per_s(marks()[first], marks()[first + seconds])

    def held(self, percent, wanted, measure):
        """Wait until a stretch of two lines measures what is wanted.

        A guest makes up for nothing: one that waits for a processor, as on a busy machine, does
        less for that time.
        """
        def stretches():
            marks = self.beats.marks()
            return list(zip(marks, marks[2:], strict=False))

        domain.wait_until(
            lambda: any(abs(measure(a, b) - wanted) < wanted * percent / 100
                        for a, b in stretches()), timeout=60, what=f'{wanted:g} to be held')
        self.addDetail('marks', content.text_content(repr(self.beats.marks())))
        return stretches()

    def wrote(self, seconds=2):
        """Count in the guest's memory how often it wrote to each page in a time."""
        before, first = self.counters(), len(self.beats.marks())
        domain.wait_until(lambda: len(self.beats.marks()) > first + seconds)
        return [b - a for a, b in zip(before, self.counters(), strict=True)]

    def counters(self):
        """Each page's own counter, to which a write adds one."""
        host, size = self.guest.host, self.guest.guest.memory_mib - guests.RESERVED_MIB
        path = f'{libvirtd.IMAGES}/memory'
        self.qmp('pmemsave', val=1 << 20, size=size << 20, filename=path)
        dump = (host.images / 'memory').read_bytes()
        return [int.from_bytes(dump[at + 8:at + 12], 'little')
                for at in range(0, len(dump), 4096)]

    def assert_within(self, percent, wanted, got):
        self.assertLess(abs(got - wanted), wanted * percent / 100, f'{got:.2f} of {wanted:g}')


class TestRates(RatesCase):

    def test_rates_are_held_within_ten_percent(self):
        for kind, rate in (('sweep', 5), ('sweep', 80), ('sweep', 400), ('random', 80),
                           ('hotcold', 80)):
            self.boot(kind, 256, 128, rate)
            for a, b in self.held(10, rate, mib_per_s):
                # By its own clock; a beat may be lost where pages are not.
                self.assertLess((b.pages - a.pages) / PAGES * 100 / (b.beats - a.beats),
                                rate * 1.25)
            self.guest.destroy()

    def test_beats_come_a_hundred_times_a_second(self):
        self.boot(rate_mib_s=80)
        self.held(5, 100, lambda a, b: (b.beats - a.beats) / (b.at_s - a.at_s))

    def test_idle_writes_nothing(self):
        self.boot('idle')
        self.assertEqual(0, self.mib_per_s())

    def test_a_sweep_writes_to_each_page_of_the_set_in_turn(self):
        self.boot('sweep', 64, 16, 60)
        pages = self.wrote()
        self.assertEqual({0}, set(pages[16 * PAGES:]))
        self.assertLessEqual(max(pages[:16 * PAGES]) - min(pages[:16 * PAGES]), 1)

    def test_random_writes_go_anywhere_in_the_set(self):
        self.boot('random', 64, 16, 100)
        pages = self.wrote()
        self.assertEqual({0}, set(pages[16 * PAGES:]))
        quarters = [sum(pages[at:at + 4 * PAGES]) for at in range(0, 16 * PAGES, 4 * PAGES)]
        for quarter in quarters:
            self.assert_within(10, sum(quarters) / 4, quarter)
        # As chance has it, some pages are not written to in a round's time.
        self.assertGreater(max(pages[:16 * PAGES]) - min(pages[:16 * PAGES]), 5)

    def test_hot_pages_get_their_share(self):
        self.boot('hotcold', 64, 32, 100, hot_mib=4, hot_share=0.8)
        pages = self.wrote()
        self.assertEqual({0}, set(pages[32 * PAGES:]))
        self.assert_within(5, 0.8, sum(pages[:4 * PAGES]) / sum(pages))

    def test_bursts(self):
        self.boot('bursts', 64, 32, 100, on_ms=1000, off_ms=1000)
        domain.wait_until(lambda: len(self.beats.marks()) > 5)
        # One second of two, wherever the stretch begins.
        self.held(15, 100, lambda a, b: (b.pages - a.pages) / PAGES)

    def test_a_phase_change_comes_once(self):
        self.boot('phases', 64, 32, 100, change_after_s=6, then_set_mib=4, then_rate_mib_s=10)
        self.held(10, 100, mib_per_s)
        domain.wait_until(lambda: self.beats.marks()[-1].beats > 700)
        self.assert_within(10, 10, self.mib_per_s())
        self.assertEqual({0}, set(self.wrote()[4 * PAGES:]))

    def test_what_was_missed_is_not_made_up_for(self):
        self.boot('sweep', 64, 32, 100)
        self.held(10, 100, mib_per_s)
        before = self.beats.marks()[-1]
        pid = qemu_process(self.guest.host.machine)
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        # What it had written before is still being read.
        domain.wait_until(lambda: not self.beats.wait_for_beats(1, timeout=0.2),
                          what='the guest to be silent')
        self.assertFalse(self.beats.wait_for_beats(1, timeout=2))
        os.kill(pid, signal.SIGCONT)
        domain.wait_until(lambda: self.beats.marks()[-1].beats > before.beats)
        after = self.beats.marks()[-1]
        # A hundred beats' worth of pages between two marks, not two seconds' more.
        hundreds = (after.beats - before.beats) / 100
        self.assertLess(after.pages - before.pages, 125 * PAGES * hundreds)


class TestUntouched(base.HostsTest):
    """Memory that nobody has written to is zero pages."""

    def test_a_bulk_copy_sends_next_to_nothing_of_it(self):
        self.boot('sweep', 512, 16, 8, untouched_mib=430)
        migration = self.migrate(params={'bandwidth': 20}).wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')
        found = migration.completed
        # 80 MiB were filled, and the firmware has touched a little more.
        zeros = found['memory_constant'] * 4096 >> 20
        self.assertGreaterEqual(zeros, 425)
        self.assertLessEqual(zeros, 432)
        normal = found['memory_normal_bytes'] >> 20
        self.assertGreaterEqual(normal, 80)
        # What was dirtied meanwhile comes on top; nothing of the rest does.
        sent = found['memory_processed'] >> 20
        self.assertAlmostEqual(normal, sent, delta=3)
        self.assertLess(sent, 82 + 16 * len(migration.iterations))

    def test_the_rest_is_filled_and_written_to_as_ever(self):
        self.boot('sweep', 64, 16, 60, untouched_mib=30)
        host = self.guest.host
        self.qmp('pmemsave', val=1 << 20, size=62 << 20, filename=f'{libvirtd.IMAGES}/memory')
        dump = (host.images / 'memory').read_bytes()
        filled = [any(dump[at:at + 16]) for at in range(0, len(dump), 4096)]
        self.assertEqual({True}, set(filled[:32 * PAGES]))
        # Where the firmware was at work.
        self.assertLess(sum(filled[32 * PAGES:]), PAGES, [
            place for place, one in enumerate(filled) if one and place >= 32 * PAGES])


class TestProcessors(RatesCase):
    """Two processors write, one of them beats."""

    def boot(self, *args, **more):
        return super().boot(*args, processors=2, **more)

    def threads(self):
        """The processor time of each of QEMU's threads that are processors, in ticks."""
        pid = qemu_process(self.guest.host.machine)
        found = {}
        for task in pathlib.Path(f'/proc/{pid}/task').iterdir():
            if (task / 'comm').read_text().startswith('CPU '):
                fields = (task / 'stat').read_text().rsplit(')', 1)[1].split()
                found[(task / 'comm').read_text().strip()] = int(fields[11]) + int(fields[12])
        return found

    def assert_halves(self, pages):
        """Each processor has written to its half of a set; who is late loses some of it."""
        halves = [sum(pages[:len(pages) // 2]), sum(pages[len(pages) // 2:])]
        self.assertGreater(min(halves), 0)
        # A processor of the guest that waits for one of the machine loses its part of a second.
        self.assert_within(40, sum(halves) / 2, halves[0])

    def test_both_share_the_set_and_the_rate(self):
        self.boot('sweep', 64, 16, 60)
        self.held(10, 60, mib_per_s)
        before = self.threads()
        pages = self.wrote()
        self.assertEqual({0}, set(pages[16 * PAGES:]))
        self.assert_halves(pages[:16 * PAGES])
        self.assertEqual(['CPU 0/TCG', 'CPU 1/TCG'], sorted(before))
        after = self.threads()
        for name, ticks in before.items():
            self.assertGreater(after[name], ticks, name)

    def test_at_random_too(self):
        self.boot('hotcold', 64, 32, 100, hot_mib=4, hot_share=0.8)
        self.held(10, 100, mib_per_s)
        pages = self.wrote()
        self.assertEqual({0}, set(pages[32 * PAGES:]))
        self.assert_within(5, 0.8, sum(pages[:4 * PAGES]) / sum(pages))

    def test_it_migrates_and_both_go_on(self):
        self.boot('sweep', 128, 32, 20)
        migration = self.migrate(params={'bandwidth': 60}).wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')
        [switch] = self.beats.switches()
        self.assertTrue(switch.same_guest)
        self.assert_halves(self.wrote()[:32 * PAGES])

    def test_auto_converge_slows_both(self):
        self.boot('sweep', 32, 24, 80)
        # A fifth of 80 is still too much for it.
        migration = self.endless(
            12, flags=libvirt.VIR_MIGRATE_AUTO_CONVERGE,
            params={libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INITIAL: 80,
                    libvirt.VIR_MIGRATE_PARAM_AUTO_CONVERGE_INCREMENT: 1})
        migration.wait_for(lambda stats: (stats.get('auto_converge_throttle') or 0) >= 80)
        self.assert_halves(self.wrote(1)[:24 * PAGES])
        migration.domain.migrateSetMaxSpeed(200)
        migration.wait()
        self.assertIsNone(migration.error)
        self.assert_beats('n2')

    def test_a_pause_stops_both(self):
        self.boot('sweep', 32, 24, 80)
        self.guest.domain.suspend()
        stopped = self.counters()
        # What it had written before is still being read.
        domain.wait_until(lambda: not self.beats.wait_for_beats(1, timeout=0.2),
                          what='the guest to be silent')
        self.assertFalse(self.beats.wait_for_beats(1, timeout=1))
        self.assertEqual(stopped, self.counters())
        self.guest.domain.resume()
        self.assert_beats('n1')
        self.assert_halves(self.wrote(1)[:24 * PAGES])

    def test_a_domain_with_fewer_processors_is_told(self):
        guest = guests.Guest('idle', 64, processors=2)
        small = domain.LabDomain(self.lab, 'guest', guest)
        self.addCleanup(small.destroy)
        image = guest.image(self.lab.work / 'guest.boot')
        for name in self.lab.names:
            shutil.copy(image, self.lab[name].images / 'guest.boot')
        xml = small.xml().replace('<vcpu>2</vcpu>', '<vcpu>1</vcpu>')
        self.lab['n1'].connect().defineXML(xml).create()
        domain.wait_until(lambda: 'FEWER PROCESSORS' in small.console('n1').read_text())


class TestConsole(base.HostsTest):

    def test_a_recorder_reads_a_running_guests_log(self):
        self.boot('idle')
        with heartbeat.Recorder(self.guest.console('n1'), from_start=True) as whole:
            self.assertTrue(whole.beats())
        text = self.guest.console('n1').read_text()
        self.assertIn('MIGPOLICY LAB GUEST', text)


def mib_per_s(a, b):
    """What the guest has written between two marks, by this machine's clock."""
    return (b.pages - a.pages) / PAGES / (b.at_s - a.at_s)


def qemu_process(machine):
    """Return the process of the only guest in a machine."""
    for pid in machine.processes():
        words = pathlib.Path(f'/proc/{pid}/cmdline').read_bytes()
        if words.startswith(b'/usr/bin/qemu') and b'guest=guest' in words:
            return pid
    raise AssertionError('no guest runs')
