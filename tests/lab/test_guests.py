# SPDX-License-Identifier: Apache-2.0
"""The guests do what they are asked for, in real QEMU."""

from __future__ import annotations

import os
import pathlib
import signal
import tempfile

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
                (guests.Guest('phases', 64, 32, then_set_mib=100), '100')):
            error = self.assertRaises(needs.LabError, wrong.image, self.path)
            self.assertIn(word, str(error))


class TestRates(base.HostsTest):

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
        """Count in the guest's memory how often it wrote to each page in a time.

        Each page has a counter of its own, which a write adds one to.
        """
        host, size = self.guest.host, self.guest.guest.memory_mib - guests.RESERVED_MIB

        def counters():
            path = f'{libvirtd.IMAGES}/memory'
            self.qmp('pmemsave', val=1 << 20, size=size << 20, filename=path)
            dump = (host.images / 'memory').read_bytes()
            return [int.from_bytes(dump[at + 8:at + 12], 'little')
                    for at in range(0, len(dump), 4096)]

        before, first = counters(), len(self.beats.marks())
        domain.wait_until(lambda: len(self.beats.marks()) > first + seconds)
        return [b - a for a, b in zip(before, counters(), strict=True)]

    def assert_within(self, percent, wanted, got):
        self.assertLess(abs(got - wanted), wanted * percent / 100, f'{got:.2f} of {wanted:g}')

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
