# SPDX-License-Identifier: Apache-2.0
"""What a hostile peer calls over the message bus, and the peer that does it."""

from __future__ import annotations

from collections.abc import Mapping
import json
import pathlib
import subprocess
import sys
from typing import Any

from hypothesis import strategies

from lab import stack as lab_stack
from nova_migpolicy.policy import keys
from tests.stack.support import hostile

_ROOT = pathlib.Path(__file__).resolve().parents[3]

#: of the control channel: the arguments of each method
METHODS: Mapping[str, tuple[str, ...]] = {
    'policy': ('server', 'migration'), 'progress': ('server', 'migration'),
    'timeline': ('server', 'migration', 'after', 'limit', 'kinds'),
    'tune': ('server', 'migration', 'changes', 'release'),
    'act': ('server', 'migration', 'action'), 'drop_request': ('server', 'request_id'),
    'hold_request': ('server', 'request_id', 'values'), 'whereabouts': ('server',),
    'note_named': ('server', 'request_id'), 'request': ('server', 'request_id'),
    'undecided': (), 'recovery': ('server', 'migration'),
    'capacity': ('most',), 'set_capacity': ('max_outgoing', 'max_incoming'),
    'slots': ('messages',),
}
_KINDS = ('ask', 'take', 'hold', 'decline', 'release', 'offer', 'granted', 'queued', 'refused')


def calls() -> strategies.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Calls over the bus, none of which is a command for the victim's migration."""
    ids = strategies.sampled_from([
        *['<own>'] * 6, '<mine>', '<mine>', '<victim>', '<OWN>', '<own>\n', '<own@>',
        '00000000-0000-0000-0000-000000000000', '../<own>'])
    records = strategies.sampled_from([
        *['<own@>'] * 6, '<mine@>', '<mine@>', '<own>', '', '../<own@>', '<own#>'])
    right: Mapping[str, strategies.SearchStrategy[Any]] = {
        'server': ids, 'migration': records, 'after': strategies.integers(-1),
        'limit': strategies.integers(-1), 'kinds': strategies.lists(strategies.text(max_size=9)),
        'changes': hostile.policies(), 'values': hostile.policies(),
        'release': strategies.lists(strategies.sampled_from(sorted(keys.KEYS))),
        'action': strategies.sampled_from(['cancel', 'force_complete', 'post_copy', 'pause', 'x']),
        'request_id': strategies.sampled_from(
            ['req-00000000-0000-0000-0000-000000000000', '../x', 'req-', '']),
        # What is right of these is more than anybody needs here.
        'max_outgoing': strategies.sampled_from([None, 0, 1000, -1, 1001]),
        'max_incoming': strategies.sampled_from([None, 0, 1000, -1, 1001]),
        'most': strategies.integers(-1),
        'messages': strategies.lists(_messages(records), max_size=3),
    }
    return _call(right)


def _messages(records: strategies.SearchStrategy[str]) -> strategies.SearchStrategy[Any]:
    """What an end of a migration says of slots: all fields of all kinds, some of them odd."""
    hosts = strategies.sampled_from(['n1', 'n2', 'n1', 'n2', 'n9', '', 'N1', 'n' * 300])
    numbers = strategies.sampled_from([0, 1, 2, 5, 2 ** 40, 2 ** 53, 2 ** 53 + 1, -1])
    seconds = strategies.sampled_from([0.0, 1.5, 3, 1e8, 1e9, -1.0])
    right: dict[str, strategies.SearchStrategy[Any]] = {
        'kind_of_message': strategies.sampled_from([*_KINDS * 3, 'x', '']),
        'source': hosts, 'destination': hosts, 'migration': records,
        'server': strategies.sampled_from(['db-1', '', 'x' * 5000, '\x00', '<b>%s']),
        'kind': strategies.sampled_from(['incoming slot', 'outgoing slot', 'x', '']),
        'phase': strategies.sampled_from(['passes', '', 'x' * 5000]),
        'reason': strategies.text(max_size=20), 'holders': strategies.lists(
            strategies.text(max_size=9), max_size=3)}
    right |= dict.fromkeys(('epoch', 'number', 'to_epoch', 'room', 'offer', 'answers', 'used',
                            'limit', 'place', 'waiting', 'priority'), numbers)
    right |= dict.fromkeys(('cost_mib', 'waited_s', 'eta_s'), seconds)
    return _odd_one(right)


@strategies.composite
def _odd_one(draw: Any, right: Mapping[str, strategies.SearchStrategy[Any]]) -> Any:
    """All of it; now and then one is missing, or is anything."""
    found = {name: draw(values) for name, values in right.items()}
    odd = draw(strategies.sampled_from(['', '', '', *right, 'more']))
    if odd:
        found.pop(odd, None)
        if draw(strategies.booleans()):
            found[odd] = draw(hostile.any_json)
    return found


@strategies.composite
def _call(draw: Any, right: Mapping[str, strategies.SearchStrategy[Any]],
          ) -> tuple[str, dict[str, Any]]:
    method = draw(strategies.sampled_from(sorted(METHODS)))
    names = METHODS[method]
    args = {name: draw(right[name]) for name in names}
    odd = draw(strategies.sampled_from((*[''] * 4, 'more', *names)))
    if odd and draw(strategies.booleans()):
        args[odd] = draw(hostile.any_json)
    else:
        args.pop(odd, None)
    return method, args


class Peer:
    """A process on a compute host that calls what it is told to; see `peer`.

    :param program: the module that is run there
    """

    def __init__(self, stack: lab_stack.Stack, host: str,
                 program: str = 'tests.stack.support.peer') -> None:
        conf = stack.where.conf(f'nova/{host}.conf')
        self._process = subprocess.Popen(
            stack.hosts[host].machine.argv(
                [sys.executable, '-m', program, str(conf)], cwd=str(_ROOT)),
            env=stack.where.environment(), text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def call(self, host: str, method: str, args: dict[str, Any],
             names: Mapping[str, str]) -> Any:
        """Call a method of the control channel of a host; returns what it answered.

        :param names: what the words in the arguments stand for
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        line = json.dumps({'host': host, 'method': method, 'args': args})
        for word, value in names.items():
            line = line.replace(f'<{word}>', value)
        self._process.stdin.write(line + '\n')
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()
