# SPDX-License-Identifier: Apache-2.0
"""Journals of migrations, whole and hostile, as guests to simulate."""

from __future__ import annotations

import json
import random

from nova_migpolicy.cmd.simulate import recorded_guest
from nova_migpolicy.sim import guests
from tests.unit.cmd import base
from tests.unit.cmd import journals


class RecordedTest(base.CommandTest):

    def journal(self, load=None, **more):
        path = self.folder / 'journal.jsonl'
        journals.write(path, load or guests.sweep(256, 128, 80), **{
            'bandwidth_mib_s': 50, 'max_bandwidth_mib_s': 100, **more})
        return path

    def test_the_guest_is_understood(self):
        out = self.simulate('--journal', self.journal(), '--profile', 'post_copy')
        self.assertIn('A guest of 256 MiB that writes 128 MiB at 80 MiB/s in order, over a link '
                      'of 117 MiB/s.', out)
        self.assertIn('recorded completes', out)
        self.assertIn('at 100 MiB/s it may finish', ' '.join(out.split()))
        self.assertIn('post_copy completes', out)

    def test_the_simulation_is_like_the_recording(self):
        path = self.folder / 'journal.jsonl'
        ran = journals.write(path, guests.sweep(256, 128, 80), bandwidth_mib_s=50)
        [policy] = self.as_json('--journal', path)['policies']
        self.assertEqual(ran.end, policy['outcome'])
        self.assertAlmostEqual(ran.seconds, policy['total_seconds'], delta=0.1 * ran.seconds)
        self.assertEqual(50, policy['values']['bandwidth_mib_s'])

    def test_at_random_with_untouched_memory(self):
        found = recorded_guest.read(str(self.journal(guests.uniform(512, 128, 80, zero_mib=256),
                                                     max_bandwidth_mib_s=50)))
        self.assertEqual('uniform', found.guest.pattern)
        self.assertAlmostEqual(256, found.guest.load.zero_mib, delta=4)
        self.assertAlmostEqual(128, found.guest.load.writable_set_mib, delta=15)

    def test_a_rate_that_is_a_guess_is_called_one(self):
        path = self.journal(guests.sweep(256, 128, 800), remedies='none')
        self.assertIn('is a guess', self.simulate('--journal', path))

    def test_one_that_was_over_with_the_first_copy(self):
        out = self.simulate('--journal', self.journal(guests.idle(256)))
        self.assertIn('writes nothing', out)
        self.assertIn('over with the first copy', out)

    def test_settings_beside_it(self):
        path = self.journal()
        found = self.as_json('--journal', path, '--set', 'max_bandwidth_mib_s=80',
                             '--link-mib-s', 90, '--no-link-known')
        self.assertEqual((90, False), (found['link_mib_s'], found['link_known']))
        self.assertEqual(50, found['policies'][0]['values']['bandwidth_mib_s'])
        self.assertEqual(80, found['policies'][0]['values']['max_bandwidth_mib_s'])
        for words in (('--memory-mib', 64), ('--pattern', 'idle'), ('--flavor', path)):
            self.assertIn(f'{words[0]} does not go with --journal',
                          self.refused('--journal', path, *words))

    def test_a_link_that_was_learnt_at_the_end(self):
        path = self.journal(link_known=False)
        self.assertIn('does not have the rate of the link', ' '.join(
            self.simulate('--journal', path).split()))
        with open(path, 'a', encoding='utf-8') as stream:
            stream.write('{"at": 9, "kind": "link", "seen_mib_s": 110.5, "held_mib_s": 100}\n')
        found = self.as_json('--journal', path)
        self.assertEqual((110.5, False), (found['link_mib_s'], found['link_known']))

    def test_a_retune_is_not_repeated(self):
        path = self.journal()
        with open(path, 'a', encoding='utf-8') as stream:
            stream.write('{"at": 9, "kind": "retune", "values": {}}\n')
        self.assertIn('The operator retuned', self.simulate('--journal', path))

    def test_cut_short_and_with_junk_between(self):
        lines = self.journal().read_bytes().splitlines(keepends=True)
        junk = (b'\n', b'\xff\xfe\n', b'null\n', b'[1, 2]\n', b'{"kind": "sample"}\n',
                b'{"at": "x", "kind": "sample"}\n', b'{"at": NaN, "kind": "sample"}\n',
                b'{"at": 1e999, "kind": "sample"}\n', b'[' * 5000 + b'\n',
                b'{"at": 3, "kind": "action", "done": true, "action": ["x"]}\n')
        text = b''.join(line + junk[number % len(junk)] for number, line in enumerate(lines))
        out = self.simulate('--journal', self.file('j', text[:int(len(text) * 0.8)]))
        self.assertRegex(out, r'that writes 128 MiB at (79|8[0-2]) MiB/s in order')

    def test_too_little(self):
        lines = self.journal().read_bytes().splitlines(keepends=True)
        self.assertIn('does not show how the guest writes',
                      self.refused('--journal', self.file('j', b''.join(lines[:3]))))
        self.assertIn('no record of a start',
                      self.refused('--journal', self.file('j', b''.join(lines[1:]))))
        self.assertIn('no record of a start', self.refused('--journal', self.file('j', b'')))
        start = json.loads(lines[0])
        for name, sentence in (('facts', 'its start has no facts'),
                               ('policy', 'its start has no policy')):
            cut = {key: value for key, value in start.items() if key != name}
            self.assertIn(sentence, self.refused('--journal', self.file('j', cut)))
        start['facts']['memory_bytes'] = 1 << 61
        self.assertIn('above the maximum', self.refused('--journal', self.file('j', start)))
        self.assertIn('it cannot be read', self.refused('--journal', self.folder))

    def test_a_policy_of_another_release(self):
        lines = self.journal().read_bytes().splitlines(keepends=True)
        start = json.loads(lines[0])
        start['policy'].update(brand_new=3, max_downtime_ms='soon')
        lines[0] = json.dumps(start).encode() + b'\n'
        out = self.simulate('--journal', self.file('j', b''.join(lines)))
        self.assertIn("'brand_new'", out)
        self.assertIn("max_downtime_ms = 'soon'", out)

    def test_numbers_out_of_their_minds_never_make_a_traceback(self):
        records = [json.loads(line) for line in self.journal().read_bytes().splitlines()]
        chance = random.Random(7)
        wild = (0, -1, 1 << 61, 1 << 80, 1e300, None, True, 'x', [], {}, 0.5, 1 << 20)
        for number in range(25):
            copies = json.loads(json.dumps(records))
            for record in copies:
                for part in (record, record.get('facts'), record.get('policy')):
                    if isinstance(part, dict) and chance.random() < 0.3:
                        part[chance.choice(list(part))] = chance.choice(wild)
            path = self.file(f'{number}', b'\n'.join(
                json.dumps(record).encode() for record in copies))
            status, _out, errors = self.run_it('simulate', '--journal', path,
                                               '--until-seconds', 60)
            self.assertIn(status, (0, 2), errors)
