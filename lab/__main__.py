# SPDX-License-Identifier: Apache-2.0
"""The command of the lab: python -m lab up|down|status|on|shape."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import os
import pathlib
import sys
import time
from typing import Any

from lab import guests
from lab import machine
from lab import needs
from lab import workdir

_ABOUT = """\
Real hosts on this one machine, to try live migrations on: each is a set of Linux namespaces with
its own libvirtd and QEMU (without KVM, QEMU emulates), all joined by a switch. Nothing outside the
work folder is touched, and `down` removes it all.
"""
_EXAMPLES = """\
examples:
  python -m lab up                      two hosts, n1 (10.77.0.11) and n2 (10.77.0.12)
  python -m lab up --hosts 3 --storage shared
  python -m lab up --flavour trixie     hosts of Debian 13: libvirt 11.3, QEMU 10.0
  python -m lab up stack                an OpenStack with two nova-computes on top
  python -m lab on n1 virsh list        run a command inside a host
  python -m lab shape n1 --rate 50      50 MiB/s to and from n1 (--clear: fast again)
  python -m lab guest busy.raw --kind sweep --memory 256 --set 128 --rate 80
  python -m lab status
  python -m lab down
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns the exit code: 0, 1 when the lab cannot, 2 for a wrong usage."""
    args = _parser().parse_args(argv)
    try:
        if args.do is not _guest:
            needs.require(needs.check_system())
        return int(args.do(args))
    except needs.LabError as e:
        print(f'lab: {e}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m lab', description=_ABOUT, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--work', type=pathlib.Path, default=None, metavar='DIR',
                        help='work folder of this lab (default: .lab in the checkout)')
    commands = parser.add_subparsers(dest='command', required=True, metavar='COMMAND')
    up = commands.add_parser('up', help='start the lab, after cleaning what an earlier one left')
    up.add_argument('level', nargs='?', choices=('hosts', 'stack'), default='hosts',
                    help='hosts: libvirt and QEMU only (default); stack: OpenStack on top')
    up.add_argument('--hosts', type=int, default=2, metavar='N', help='how many (default: 2)')
    up.add_argument('--storage', choices=('block', 'shared'), default='block',
                    help='block: each host has its own disks (default); shared: one folder')
    up.add_argument('--flavour', choices=('bookworm', 'trixie'), default='bookworm',
                    help="bookworm: this system's libvirt and QEMU (default); trixie: Debian 13's")
    stack = _stack()
    if stack is not None:
        stack.add_arguments(up)
    up.set_defaults(do=_up)
    down = commands.add_parser('down', help='stop everything and remove the files')
    down.add_argument('--cache', action='store_true',
                      help='also remove what is kept to be fast next time')
    down.set_defaults(do=_down)
    commands.add_parser('status', help='show what is up').set_defaults(do=_status)
    on = commands.add_parser('on', help='run a command inside a host')
    on.add_argument('host')
    on.add_argument('argv', nargs=argparse.REMAINDER, metavar='CMD', help='command and arguments')
    on.set_defaults(do=_on)
    shape = commands.add_parser('shape', help="slow a host's link")
    shape.add_argument('host')
    shape.add_argument('--rate', type=float, metavar='MIB_S', help='MiB per second, each way')
    shape.add_argument('--delay', type=float, metavar='MS', help='milliseconds more, each way')
    shape.add_argument('--clear', action='store_true', help='fast again')
    shape.set_defaults(do=_shape)
    _add_guest(commands.add_parser('guest', help="write a guest's boot image"))
    return parser


def _add_guest(parser: argparse.ArgumentParser) -> None:
    usual = guests.Guest()
    parser.add_argument('image', type=pathlib.Path, help='the raw image to write')
    parser.add_argument('--kind', choices=guests.KINDS, default='sweep', help='(default: sweep)')
    for name, field, unit, about in (
            ('memory', 'memory_mib', 'MIB', 'memory of the machine that it will run on'),
            ('set', 'set_mib', 'MIB', 'writable set'),
            ('rate', 'rate_mib_s', 'MIB_S', 'pages written, in MiB per second'),
            ('hot', 'hot_mib', 'MIB', 'hotcold: the hot part of the set'),
            ('share', 'hot_share', '0..1', 'hotcold: share of the writes that go there'),
            ('on', 'on_ms', 'MS', 'bursts: how long one lasts'),
            ('off', 'off_ms', 'MS', 'bursts: the quiet time'),
            ('after', 'change_after_s', 'S', 'phases: when the change comes'),
            ('then-set', 'then_set_mib', 'MIB', 'phases: writable set from then on'),
            ('then-rate', 'then_rate_mib_s', 'MIB_S', 'phases: rate from then on'),
            ('untouched', 'untouched_mib', 'MIB', 'memory that is never touched'),
            ('processors', 'processors', 'N', 'processors that share the work')):
        value = getattr(usual, field)
        parser.add_argument(f'--{name}', dest=field, type=type(value), default=value,
                            metavar=unit, help=f'{about} (default: {value})')
    parser.set_defaults(do=_guest)


def _stack() -> Any:
    """Return the module of the upper level; None where only the hosts are installed."""
    try:
        return importlib.import_module('lab.stack_command')
    except ImportError:
        return None


def _up(args: argparse.Namespace) -> int:
    began = time.monotonic()
    if args.hosts < 1 or args.hosts > 200:
        raise needs.LabError('--hosts must be 1 to 200')
    if args.level == 'stack':
        stack = _stack()
        if stack is None:
            raise needs.LabError('the stack is not installed here; run tools/setup first')
        stack.up(_work(args), args)
    else:
        hosts = _hosts_module()
        names = [f'n{number}' for number in range(1, args.hosts + 1)]
        hosts.Hosts(_work(args), names, args.storage, args.flavour,
                    say=lambda line: print(line, file=sys.stderr, flush=True)).up()
    print(f'up in {time.monotonic() - began:.1f} s')
    return _status(args)


def _down(args: argparse.Namespace) -> int:
    stopped = workdir.down(_work(args), cache=args.cache)
    print('stopped: ' + (', '.join(stopped) or 'nothing was up'))
    return 0


def _status(args: argparse.Namespace) -> int:
    hosts = _hosts_module()
    lab = hosts.attach(_work(args))
    print(f'{lab.work}: storage {lab.storage}, flavour {lab.flavour}')
    from lab import link
    for node in [lab.ctl] + [lab[name].machine for name in lab.names]:
        if not node.running:
            print(f'  {node.name:6} {node.address:12} is down (run: python -m lab up)')
            continue
        slowed = link.show(node) if node is not lab.ctl else ''
        print(f'  {node.name:6} {node.address:12} {len(node.processes()):3} processes'
              f'{", link: " + slowed if slowed else ""}')
    for name in lab.names:
        if lab[name].machine.running:
            for domain in lab[name].connect().listAllDomains():
                print(f'  {name}: guest {domain.name()}'
                      f'{"" if domain.isActive() else " (not running)"}')
    return 0


def _on(args: argparse.Namespace) -> int:
    if not args.argv:
        raise needs.LabError('which command? e.g. python -m lab on n1 virsh list')
    command = machine.Machine(_work(args), args.host, '').argv(args.argv)
    os.execvp(command[0], command)


def _shape(args: argparse.Namespace) -> int:
    if not (args.clear or args.rate or args.delay):
        raise needs.LabError('give --rate, --delay or --clear')
    _hosts_module().attach(_work(args)).shape(
        args.host, rate_mib_s=args.rate, delay_ms=args.delay)
    return 0


def _guest(args: argparse.Namespace) -> int:
    fields = {field.name: getattr(args, field.name) for field in dataclasses.fields(guests.Guest)}
    guests.Guest(**fields).image(args.image)
    print(f'{args.image}: give its machine {args.memory_mib} MiB and a serial console')
    return 0


def _hosts_module() -> Any:
    """Return lab.hosts, which needs the libvirt module: said in a sentence if it is absent."""
    needs.require(needs.check_hosts())
    return importlib.import_module('lab.hosts')


def _work(args: argparse.Namespace) -> pathlib.Path:
    work: pathlib.Path = args.work or workdir.DEFAULT
    return work.resolve()


if __name__ == '__main__':
    sys.exit(main())
