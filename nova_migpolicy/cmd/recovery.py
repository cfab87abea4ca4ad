# SPDX-License-Identifier: Apache-2.0
"""The subcommand recovery: what is written down on this host of migrations, and what to do.

It reads the files of nova-compute, and changes one only where an operator releases a server. It
needs neither nova-compute nor the cloud to answer. Exit status: 1 where an operator has to do
something, as where what should have passed by itself has not; 0 where not.
"""

from __future__ import annotations

import argparse
from collections import abc
import dataclasses
import datetime
import getpass
import json
import os
import pathlib
import shutil
import sys
import textwrap
import time
import typing

from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.engine import figures
from nova_migpolicy import exception
from nova_migpolicy.recovery import account
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import written as written_mod

#: where nova-compute's options may be
CONFIG_FILES = ('/etc/nova/nova.conf', '/etc/nova/nova-compute.conf', '/etc/nova/nova-cpu.conf')
STATE_PATH = '/var/lib/nova'
WIDTH = 100
_NARROWEST = 60
_INDENT = '  '
OPERATOR_NEEDED = 1
#: Nova's objects may have the passwords of volumes
_NOT_SHOWN = ('migrate_data', 'source_bdms')
_QUESTION = 'Type "yes" to release it: '

Found = tuple[pathlib.Path, list[record_mod.Record], list[written_mod.Unused]]


def add_to(commands: typing.Any) -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        'recovery', allow_abbrev=False,
        help='what is undecided of the migrations of this host, and what can be done?',
        description='Shows what nova-compute on this host, the source of migrations, has written '
        'down of them. Run it as root or as the user of nova-compute.')
    inner = parser.add_subparsers(metavar='COMMAND', required=True)
    one = inner.add_parser(
        'list', allow_abbrev=False, help='the migrations that are undecided',
        description='Lists the migrations that are undecided: since when, why, and what to do. '
        'The exit status is 1 where an operator has to do something, 0 where not.')
    one.add_argument('--all', action='store_true', dest='is_all',
                     help='also those that are under way')
    one.set_defaults(run=run_list)
    _add_common(one)
    one = inner.add_parser('show', allow_abbrev=False, help='what is written down of one',
                           description='Shows what is written down of a migration.')
    one.add_argument('id', metavar='UUID', help='of the server or of its migration')
    one.set_defaults(run=run_show)
    _add_common(one)
    one = inner.add_parser(
        'release', allow_abbrev=False, help='let a server be started that is undecided',
        description='Lets a server be started once, whose migration is undecided, after an '
        'operator has made sure that it runs on neither host. It says what is known, and asks. '
        'Run it on the source of the migration; where that is off for good, or nothing is written '
        'down there, with --here on the host that is to start the server. The exit status is 1 '
        'where the answer is no.')
    one.add_argument('server', metavar='SERVER', help='the UUID of the server')
    one.add_argument('--here', action='store_true', dest='is_here',
                     help='this host is to start the server, and nothing is written down here of '
                     'its migration')
    one.add_argument('--yes', action='store_true', dest='is_sure', help='do not ask')
    one.set_defaults(run=run_release)
    _add_place(one)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('-f', '--format', choices=('table', 'json'), default='table',
                        help='table, of at most 100 columns (default), or json')
    _add_place(parser)


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--config-file', action='append', metavar='FILE', default=[],
                        help="a file with nova-compute's state_path; repeat it (default: "
                        f'{", ".join(CONFIG_FILES)})')
    parser.add_argument('--state-path', metavar='FOLDER', type=pathlib.Path,
                        help=f'the state_path itself (default: of those files, or {STATE_PATH})')


def run_list(args: argparse.Namespace) -> int:
    """List what is undecided; return the exit status.

    :raises exception.PolicyError: it cannot be read.
    """
    folder, records, unused = _find(args)
    listed = [one for one in records if one.undecided or args.is_all]
    if args.format == 'json':
        _print_json({'folder': str(folder), 'migrations': [_entry(one) for one in listed],
                     'unused': [{'file': str(one.path), 'reason': one.reason,
                                 'what_to_do': account.FOR_UNUSED} for one in unused]})
    else:
        _print(_table(folder, listed, unused, len(records)))
    return _status(listed, unused)


def run_show(args: argparse.Namespace) -> int:
    """Show one; return the exit status.

    :raises exception.PolicyError: there is none, or it cannot be read.
    """
    folder, records, _ = _find(args)
    found = [one for one in records if args.id.lower() in (one.server, one.migration)]
    if not found:
        raise inputs.BadInput('UUID', args.id, f'nothing is written down of it in {folder}; '
                              'nova-migpolicy recovery list --all has all that is')
    if args.format == 'json':
        _print_json([_document(one) for one in found])
    else:
        _print(line for one in found for line in _fields(one))
    return _status(found, [])


def run_release(args: argparse.Namespace) -> int:
    """Release a server; return the exit status.

    :raises exception.PolicyError: it must not be, or cannot be.
    """
    if args.is_here:
        return _release_here(args)
    folder, records = _undecided(args)
    for record in records:
        _print(_before_release(record))
    if not _is_wanted(args):
        return OPERATOR_NEEDED
    if [_case(one) for one in _undecided(args)[1]] != [_case(one) for one in records]:
        raise inputs.BadInput('SERVER', args.server, 'nova-compute has gone on with its migration '
                              'meanwhile; look again with nova-migpolicy recovery show')
    try:
        for record in records:
            written_mod.Records(folder).release(record, _operator(), time.time())
    except exception.RecordFileError as error:
        raise inputs.BadInput('SERVER', args.server, f'it is not released: {error}') from error
    _print(_after_release(records[-1]))
    return 0


def _release_here(args: argparse.Namespace) -> int:
    """Release a server on a host that has no record of its migration; return the exit status.

    :raises exception.PolicyError: it must not be, or cannot be.
    """
    server = args.server.lower()
    if not record_mod.is_uuid(server):
        raise inputs.BadInput('SERVER', args.server, 'the UUID of the server is needed')
    folder, found, _ = _find(args)
    here = [one for one in found if one.server == server]
    if here:
        raise inputs.BadInput('--here', args.server, (
            f'its migration {here[0].migration} is written down here; leave that option out'))
    if not folder.parent.is_dir():
        raise inputs.BadInput('--here', args.server, (
            f'there is no {folder.parent}: nova-compute has never run here with this plugin; run '
            'it on the host that is to start the server'))
    _print(_wrapped(
        f'If you release server {server} here, its next start on this host is allowed, once, '
        'although a host of its migration does not answer, and what it had come to is not known. '
        'It is refused all the same if another host of the migration answers, and has something '
        'of the guest. Two copies would destroy its disks. So make sure first that the host that '
        'does not answer is powered off, and stays so until nova-compute there can be started '
        'without this server.', '', _room()))
    if not _is_wanted(args):
        return OPERATOR_NEEDED
    try:
        written_mod.Records(folder).release_here(server, _operator(), time.time())
    except exception.RecordFileError as error:
        raise inputs.BadInput('SERVER', args.server, f'it is not released: {error}') from error
    _print(_wrapped(
        f'Server {server} is released on this host. Then start it here: where Nova has it on the '
        f'source, by evacuating it to this host, openstack server evacuate --host HOST {server}; '
        f'where Nova has it here, openstack server reboot --hard {server}', '', _room()))
    return 0


def _is_wanted(args: argparse.Namespace) -> bool:
    if args.is_sure or _is_agreed():
        return True
    _print(['Nothing was changed.'])
    return False


def _undecided(args: argparse.Namespace) -> tuple[pathlib.Path, list[record_mod.Record]]:
    """Return the undecided migrations of a server, and the folder of their records.

    :raises inputs.BadInput: there is none, or one is under way
    """
    folder, records, _ = _find(args)
    found = [one for one in records if one.server == args.server.lower()]
    if not found:
        raise inputs.BadInput('SERVER', args.server, (
            f'no unfinished migration of it is written down in {folder}, so nothing has to be '
            f'released here{_released_before(folder, args.server)}; the UUID of the server is '
            'needed, and the host that was the source; where that is off, or nothing is written '
            'down there, use --here on the host that is to start it'))
    under_way = [one for one in found if not one.undecided]
    if under_way:
        raise inputs.BadInput('SERVER', args.server, (
            f'its migration {under_way[0].migration} is under way, and not undecided: '
            'nova-compute on this host has to run, and finishes it or rolls it back'))
    return folder, found


def _case(record: record_mod.Record) -> record_mod.Record:
    """Leave out what was seen, and when: nova-compute looks again and again."""
    return dataclasses.replace(record, undecided=record.undecided and {
        **record.undecided, 'seen': None, 'seen_s': None})


def _released_before(folder: pathlib.Path, server: str) -> str:
    records = written_mod.Records(folder)
    found = [*(one for one in records.releases() if one.record.server == server.lower()),
             *(records.released_here(server.lower()) if record_mod.is_uuid(server) else ())]
    last = max(found, key=lambda one: one.at_s, default=None)
    if last is None:
        return ''
    return (f'; {_clean(last.by)} has released it at {_iso(last.at_s)}, and '
            f'{"it was started since" if last.is_used else "it may be started"}')


def _before_release(record: record_mod.Record) -> abc.Iterator[str]:
    step = record.undecided or {}
    room = _room()
    yield from _fields(record)
    yield ''
    yield from _wrapped(
        f'If you release it, its next start is allowed, once, although this is not decided: '
        f'"{step.get("reason")}". Migration '
        f'{record.migration} is then neither finished nor rolled back. Two copies would destroy '
        'its disks. So make sure first with `virsh list --all` on both hosts, or that a host '
        'which does not answer is powered off.', '', room)


def _after_release(record: record_mod.Record) -> abc.Iterator[str]:
    yield from _wrapped(
        f'Server {record.server} is released. nova-compute on {record.source} unlocks it within '
        'a minute. Then start it: openstack server reboot --hard '
        f'{record.server}', '', _room())


def _is_agreed() -> bool:
    sys.stdout.write(_QUESTION)
    sys.stdout.flush()
    answer = sys.stdin.readline()
    if not answer.endswith('\n'):
        sys.stdout.write('\n')
    return answer.strip().lower() == 'yes'


def _operator() -> str:
    """Return who asks, also where that was by sudo."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):     # none has this number
        user = f'user {os.getuid()}'
    behind = os.environ.get('SUDO_USER')
    return f'{behind} as {user}' if behind and behind != user else user


def _status(records: abc.Iterable[record_mod.Record],
            unused: abc.Sequence[written_mod.Unused]) -> int:
    now_s = time.time()
    is_needed = bool(unused) or any(account.needs_operator(one, now_s) for one in records)
    return OPERATOR_NEEDED if is_needed else 0


def _find(args: argparse.Namespace) -> Found:
    state = args.state_path or _state_path(args.config_file)
    if not state.is_dir():
        raise inputs.BadInput('state_path', str(state), (
            "there is no such folder; name nova-compute's with --config-file or --state-path"))
    folder = state / written_mod.FOLDER
    try:
        records, unused = written_mod.Records(folder).look()
        return folder, sorted(records, key=lambda one: one.started_s), unused
    except OSError as error:
        raise inputs.BadInput('the folder of the records', str(folder), (
            f'it cannot be read: {error.strerror}; run this as root or as the user of '
            'nova-compute')) from error


def _state_path(files: abc.Sequence[str]) -> pathlib.Path:
    """Return nova-compute's state_path by its configuration.

    :raises inputs.BadInput: a file that was named cannot be read
    """
    # Wherever nova-compute is, this is: but the other subcommands need it not.
    from oslo_config import cfg
    given = [file for file in files or CONFIG_FILES if files or pathlib.Path(file).is_file()]
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.StrOpt('state_path', default=STATE_PATH))
    try:
        conf([], project='nova', default_config_files=given, default_config_dirs=[])
        return pathlib.Path(conf.state_path)
    except cfg.Error as error:
        raise inputs.BadInput('--config-file', ', '.join(given), (
            f'{str(error).strip()}; give --state-path instead')) from error


def _entry(record: record_mod.Record) -> dict[str, typing.Any]:
    """Return what is known of a migration, with times as texts."""
    found = account.entry(record, time.time())
    for seconds, when in (('started_s', 'started_at'), ('since_s', 'since'),
                          ('seen_s', 'seen_at')):
        found[when] = _iso(found.pop(seconds))
    return found


def _document(record: record_mod.Record) -> dict[str, typing.Any]:
    return {**_entry(record), **{
        name: value for name, value in record.to_dict().items()
        if name not in (*_NOT_SHOWN, 'written', 'undecided', 'started_s')}}


def _table(folder: pathlib.Path, records: abc.Sequence[record_mod.Record],
           unused: abc.Sequence[written_mod.Unused], count: int) -> abc.Iterator[str]:
    room = _room()
    if not records and not unused:
        yield from _wrapped(f'Nothing is undecided. {figures.count(count, "migration")} written '
                            f'down in {folder}.', '', room)
        return
    if records:
        yield f'{"server":36}  {"next step":9}  {"since":25}  destination'
    for one in records:
        step = one.undecided or {}
        row = (f'{one.server:36}  {_clean(step.get("kind", "-")):9}  '
               f'{_since(step.get("since_s")):25}  {_clean(one.destination)}')
        yield row if len(row) <= room else row[:room - 1] + '…'
        if step:
            yield from _wrapped(f'reason: {step["reason"]}', _INDENT, room)
            yield from _wrapped(f'to do: {account.what_to_do(one)}.', _INDENT, room)
    for unfit in unused:
        yield from _wrapped(f'{unfit.path} is not used: {unfit.reason}', '', room)
        yield from _wrapped(f'to do: {account.FOR_UNUSED}.', _INDENT, room)


def _fields(record: record_mod.Record) -> abc.Iterator[str]:
    step = record.undecided or {}
    rows = {
        'server': record.server, 'migration': record.migration,
        'from': record.source, 'to': record.destination,
        'started': _since(record.started_s), 'phase': record.written.value,
        'next step': step.get('kind', 'none: it is under way'),
        'since': _since(step.get('since_s')), 'reason': step.get('reason', '-'),
        'seen': account.seen_in_words(step.get('seen')), 'looked at': _since(step.get('seen_s')),
        'to do': f'{account.what_to_do(record)}.' if step else '-',
        'tries of post-copy': record.tries,
        'paused before': 'yes' if record.was_paused else 'no',
        'copies disks': 'yes' if record.block_migration else 'no',
        'policy': _pairs(record.policy['fields']), 'retuned': _pairs(record.policy['retuned']),
        'held': _pairs(record.policy['held']),
        'request': _or_dash(record.request_id)}
    width = max(map(len, rows)) + 2
    for name, value in rows.items():
        yield from textwrap.wrap(_clean(value), _room(), initial_indent=name.ljust(width),
                                 subsequent_indent=' ' * width, break_on_hyphens=False)


def _or_dash(value: object) -> object:
    return '-' if value is None else value


def _pairs(values: abc.Mapping[str, object]) -> str:
    return ', '.join(f'{key}={_text(value)}' for key, value in sorted(values.items())) or '-'


def _text(value: object) -> str:
    return '+'.join(map(str, value)) if isinstance(value, list) else str(value)


def _iso(at_s: float | None) -> str | None:
    return None if at_s is None else datetime.datetime.fromtimestamp(
        at_s, datetime.timezone.utc).isoformat(timespec='seconds')


def _since(at_s: float | None) -> str:
    """Write the local time, and how long ago that was."""
    if at_s is None:
        return '-'
    when = datetime.datetime.fromtimestamp(at_s).strftime('%m-%d %H:%M')
    ago_s = max(0.0, time.time() - at_s)
    hours = round(ago_s / 3600)
    return f'{when}, {figures.span(ago_s)}' if hours < 3 else (
        f'{when}, {figures.count(hours, "hour")}' if hours < 72 else
        f'{when}, {figures.count(hours // 24, "day")}')


def _clean(value: object) -> str:
    """Leave out what a terminal would obey."""
    return ''.join(one if one.isprintable() else ' ' for one in str(value))


def _room() -> int:
    return max(_NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def _wrapped(sentence: str, indent: str, room: int) -> list[str]:
    return textwrap.wrap(_clean(sentence), room, initial_indent=indent,
                         subsequent_indent=indent * 2, break_on_hyphens=False)


def _print(lines: abc.Iterable[str]) -> None:
    sys.stdout.writelines(f'{line}\n' for line in lines)


def _print_json(document: object) -> None:
    json.dump(document, sys.stdout, indent=2)
    sys.stdout.write('\n')
