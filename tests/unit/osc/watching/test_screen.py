# SPDX-License-Identifier: Apache-2.0
"""How watching looks: plain lines, and the pictures on terminals of several sizes."""

from __future__ import annotations

import io
import os
from unittest import mock

from rich import console
import testtools

from nova_migpolicy.osc.watching import live as live_mod
from nova_migpolicy.osc.watching import screen
from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc.watching import watched
from tests.unit.osc import cases
from tests.unit.osc import cloud

LONG = ('124 MiB remained after each of the last 2 passes at 50 MiB/s; at 170 MiB/s it '
        'may finish in 6.4 s at best, with a blackout of about 123 ms')


class Terminal(io.StringIO):

    def isatty(self):
        return True


def watch(name='db-1', migration=7, **facts):
    made = watched.Watch(name, migration)
    made.see(0.0, cases.plugin(**facts))
    return made


def story(count=2, name=''):
    return [(name, watched.Line('decision', f'{number} {LONG}', '2026-11-20T15:44:41+00:00'))
            for number in range(count)]


def render(drawn, width, height=24):
    out = io.StringIO()
    console.Console(file=out, width=width, height=height, force_terminal=False,
                    highlight=False).print(drawn)
    return out.getvalue()


class LinesTest(testtools.TestCase):

    def test_lines(self):
        out = io.StringIO()
        shown = screen.Lines(out)
        shown.say(watch(), [watched.Line('decision', 'x: y', '2026-11-20T15:44:41.084+00:00'),
                            watched.Line('phase', 'passes')])
        self.assertRegex(out.getvalue(), r'^\d\d:44:41 decision: x: y\n'
                                         r'\d\d:\d\d:\d\d phase: passes\n$')

    def test_lines_of_many_name_the_server(self):
        out = io.StringIO()
        screen.Lines(out, many=True).say(watch(), [watched.Line('phase', 'passes')])
        self.assertIn(' db-1: phase: passes', out.getvalue())


class ChoiceTest(testtools.TestCase):

    def choose(self, stream, term='xterm'):
        with mock.patch.dict(os.environ, {'TERM': term}):
            return type(screen.choose(stream))

    def test_by_what_the_stream_is(self):
        self.assertIs(screen.Live, self.choose(Terminal()))
        self.assertIs(screen.Lines, self.choose(io.StringIO()))
        self.assertIs(screen.Lines, self.choose(Terminal(), 'dumb'))

    def test_lines_without_rich(self):
        with mock.patch.dict('sys.modules', {'rich': None}):
            self.assertIs(screen.Lines, self.choose(Terminal()))


class LiveTest(testtools.TestCase):

    def test_it_draws_and_leaves_the_last_picture(self):
        out = Terminal()
        with mock.patch.dict(os.environ, {'TERM': 'xterm', 'COLUMNS': '100', 'LINES': '30'}):
            shown = screen.Live(out)
            seen = watch()
            shown.say(seen, [watched.Line('decision', LONG), watched.Line('phase', 'passes')])
            shown.draw([seen])
            shown.draw([seen])
            shown.close()
            shown.close()
            shown.tell('Stopped watching.')
        self.assertIn('124 MiB remained', out.getvalue())
        self.assertTrue(out.getvalue().endswith('Stopped watching.\n'))
        # The cursor is there again.
        self.assertGreater(out.getvalue().rfind('\x1b[?25h'), out.getvalue().rfind('\x1b[?25l'))


class PictureTest(testtools.TestCase):

    def assert_fits(self, drawn, width, height):
        text = render(drawn, width, height)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), width, text)
        self.assertLessEqual(len(text.splitlines()), height, text)
        return text

    def test_one_server_shows_everything_in_any_size(self):
        for width, height in ((100, 30), (80, 24), (60, 24)):
            text = self.assert_fits(
                live_mod.single(watch(held=['bandwidth_mib_s']), story(20), width, height),
                width, height)
            for part in ('db-1, migration 7, n1 to n2: passes', '41 %', '50 MiB/s', 'bandwidth',
                         '340 ms', '12-30 s', 'in 250 s', '19 124 MiB remained'):
                self.assertIn(part, text)

    def test_waiting_says_what_for(self):
        text = render(live_mod.single(watch(
            phase='waiting for a slot', waits_for='the migrations of a and b go first',
            percent=None, memory=None, disk=None, bandwidth_mib_s=None), [], 100, 24), 100)
        self.assertIn('waiting for a slot', text)
        self.assertIn('waits: the migrations of a and b go first', text)

    def test_nothing_known_yet(self):
        self.assertIn('asking', render(live_mod.single(watched.Watch('db-1', 7), [], 80, 24), 80))
        lost = watched.Watch('db-1', 7)
        lost.give_up('nobody there')
        self.assertIn('nobody there', render(live_mod.several([lost], [], 80, 24), 80))

    def test_trouble_is_seen(self):
        seen = watch()
        seen.miss(1.0, 'no answer.', 60)
        self.assertIn('no answer', render(live_mod.single(seen, [], 80, 24), 80))

    def test_old_figures_are_seen(self):
        for drawn in (live_mod.single(watch(age_seconds=23.4), [], 80, 24),
                      live_mod.several([watch(age_seconds=23.4)], [], 80, 24)):
            self.assertIn('no news for 23 s', render(drawn, 80))

    def test_the_end(self):
        seen = watch()
        seen.see(1.0, status_mod.of_plugin(cloud.done()['progress']))
        text = render(live_mod.single(seen, [], 100, 24), 100)
        for part in ('completed', '100 %', 'blackout 286 ms', '501 MiB sent'):
            self.assertIn(part, text)

    def test_many_servers_fit_any_screen(self):
        watches = [watch(f'running-{number}', number) for number in range(3)]
        watches += [watch(f'waiting-{number}', number, phase='queued') for number in range(60)]
        watches += [watch('a-name-that-is-longer-than-any-column-can-be', 1)]
        ended = watch('ended')
        ended.see(1.0, status_mod.of_plugin(cloud.done()['progress']))
        for width, height in ((100, 40), (80, 24)):
            text = self.assert_fits(live_mod.several(
                [*watches, ended], story(9, 'running-1'), width, height), width, height)
            self.assertIn('65 servers: 4 running, 60 waiting, 1 completed', text)
            self.assertLess(text.index('running-0'), text.index('waiting-0'))
            self.assertIn('more', text)
            self.assertIn('running-1: 8 124 MiB remained', text)

    def test_a_tenants_name_is_no_markup(self):
        text = render(live_mod.several([watch('[red]db[/]')], [], 80, 24), 80)
        self.assertIn('[red]db[/]', text)
