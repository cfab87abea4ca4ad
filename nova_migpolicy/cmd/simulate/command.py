# SPDX-License-Identifier: Apache-2.0
"""The entry of the subcommand simulate: its options, and the course of a run.

It reads the options, has each policy tried on the same guest, and shows the results. The engine
that decides is the one that runs in nova-compute; the guest, the link and QEMU are models.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing

from nova_migpolicy.cmd.simulate import guest_options
from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.cmd.simulate import metadata
from nova_migpolicy.cmd.simulate import patterns
from nova_migpolicy.cmd.simulate import plot
from nova_migpolicy.cmd.simulate import policies
from nova_migpolicy.cmd.simulate import recorded_guest
from nova_migpolicy.cmd.simulate import report
from nova_migpolicy.cmd.simulate import trial as trial_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles

# The rate that 10 Gbit/s carry.
DEFAULT_LINK_MIB_S = 1100.0
USAGE = '%(prog)s (--memory-mib MIB | --flavor FILE.json | --journal FILE) [options]'
EXAMPLES = """\
examples:
  %(prog)s --profile balanced --profile post_copy --memory-mib 16384 \\
      --writable-set-mib 2048 --dirty-mib-s 900 --link-mib-s 1190
  openstack flavor show -f json db.large | %(prog)s --flavor - \\
      --writable-set-mib 2048 --dirty-mib-s 900 --plot db.png
  %(prog)s --profile evacuate \\
      --journal /var/lib/nova/migpolicy/journal/UUID.jsonl
"""


def add_to(commands: typing.Any) -> None:
    """Add the subcommand to a parser."""
    parser = commands.add_parser(
        'simulate', allow_abbrev=False, epilog=EXAMPLES, usage=USAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        help='what would this policy do to such a server?',
        description='Simulates the live migration of a server under one policy or several, side\n'
        'by side. It needs no cloud, no libvirt and no root.')
    parser.set_defaults(run=run)
    _add_policy(parser)
    guest_options.add_to(parser)
    _add_scene(parser)
    group = parser.add_argument_group('the output')
    group.add_argument('-f', '--format', choices=('table', 'json'), default='table',
                       help='table, of at most 100 columns (default), or json')
    group.add_argument('--plot', metavar='FILE.png',
                       help='also draw what remains over time (needs matplotlib)')


def _add_policy(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('the policy')
    group.add_argument('--profile', action='append', metavar='NAME', default=[],
                       help='a profile; repeat it to compare (default: '
                       f'{keys.DEFAULT_PROFILE}, or the policy of the flavor or the journal)')
    group.add_argument('--profiles-file', metavar='FILE',
                       help='a YAML file with more profiles, as in nova.conf')
    group.add_argument('--set', action='append', metavar='KEY=VALUE', default=[], dest='pairs',
                       help='a policy key, for all of the policies; repeat it')
    group.add_argument('--flavor', metavar='FILE.json',
                       help='the output of openstack flavor show -f json; - reads it from the '
                       'standard input')
    group.add_argument('--image', metavar='FILE.json',
                       help='the output of openstack image show -f json; what it may not have is '
                       'clamped')
    group.add_argument('--journal', metavar='FILE',
                       help='the journal of a real migration, for the policy and the server')


def _add_scene(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group('the hosts')
    group.add_argument('--disk-mib', type=inputs.DISK_MIB, metavar='MIB',
                       help='disks to copy as well; none on shared storage (default)')
    group.add_argument('--link-mib-s', type=inputs.LINK_MIB_S, metavar='MIB_S',
                       help='the rate of the link between the hosts (default: '
                       f'{DEFAULT_LINK_MIB_S:g}, what 10 Gbit/s carry)')
    group.add_argument('--link-known', action=argparse.BooleanOptionalAction,
                       help='whether the engine knows that rate (default: it does)')
    group.add_argument('--qemu', choices=trial_mod.QEMU, default=trial_mod.QEMU[0],
                       help='7.2 (default) stands for all before 9.2. 10.0 is told the rate of '
                       'the link, and looks every 5 s under auto-converge')
    group.add_argument('--jitter', type=inputs.JITTER_PERCENT, default=0.0, metavar='PERCENT',
                       help='how far the rates of the link and the guest vary from pass to pass '
                       '(default: not at all)')
    group.add_argument('--seed', type=inputs.SEED, default=0, metavar='NUMBER',
                       help='the seed of that variation')
    group.add_argument('--until-seconds', type=inputs.SECONDS, metavar='SECONDS',
                       help='stop after this time (default: some time past the deadline)')


def run(args: argparse.Namespace) -> None:
    """Run the subcommand.

    :raises exception.PolicyError: if the input cannot be used.
    """
    tried, scene, notes = _prepared(args)
    trials = [trial_mod.play(case, scene) for case in tried]
    intro = _intro(scene, notes)
    # Before the text: once the text is there, the picture is, too.
    if args.plot:
        plot.draw(trials, intro[0], args.plot)
    if args.format == 'json':
        json.dump(_document(scene, notes, trials), sys.stdout, indent=2)
        sys.stdout.write('\n')
    else:
        report.show(report.lines(intro, trials, report.width()), sys.stdout)


def _prepared(args: argparse.Namespace
              ) -> tuple[list[policies.Case], trial_mod.Scene, tuple[str, ...]]:
    """Return the policies, the scene, and the notes about them."""
    known = profiles.load(args.profiles_file) if args.profiles_file else profiles.BUILT_IN
    request = policies.settings(args.pairs)
    if args.journal:
        first, scene, notes = _from_journal(args, known, request)
    else:
        first, scene, notes = _from_options(args, known, request)
    names = list(dict.fromkeys(args.profile)) or ([] if first else [keys.DEFAULT_PROFILE])
    return [*first, *(policies.of_profile(name, known, request) for name in names)], scene, notes


Prepared = tuple[list[policies.Case], trial_mod.Scene, tuple[str, ...]]


def _from_options(args: argparse.Namespace, known: policies.Known,
                  request: policies.Given) -> Prepared:
    flavor = metadata.flavor(args.flavor) if args.flavor else None
    image = metadata.image(args.image) if args.image else None
    memory_mib = args.memory_mib or (flavor.memory_mib if flavor else None)
    if memory_mib is None:
        raise inputs.Usage('--memory-mib is missing: how much memory the server has'
                           + (' (the flavor has no ram)' if flavor else ''))
    scene = _scene(args, guest_options.build(args, memory_mib))
    first = [policies.of_server(flavor, image, known, request)] if flavor or image else []
    return first, scene, ()


def _from_journal(args: argparse.Namespace, known: policies.Known,
                  request: policies.Given) -> Prepared:
    beside = [*guest_options.given(args), *(f'--{name}' for name in ('flavor', 'image')
                                            if getattr(args, name))]
    if beside:
        raise inputs.Usage(f'{beside[0]} does not go with --journal, which gives that itself')
    found = recorded_guest.read(args.journal)
    scene = _scene(args, found.guest, found)
    notes = found.notes
    if not args.link_mib_s and not found.link_mib_s:
        notes += ('The journal does not have the rate of the link; give it with --link-mib-s.',)
    return [policies.of_recording(found.policy, known, request)], scene, notes


def _scene(args: argparse.Namespace, guest: guest_options.Guest,
           found: recorded_guest.Recording | None = None) -> trial_mod.Scene:
    known = found.link_was_known if found else True
    disk_mib = found.disk_mib if found else 0
    return trial_mod.Scene(
        guest, disk_mib=disk_mib if args.disk_mib is None else args.disk_mib,
        link_mib_s=args.link_mib_s or (found.link_mib_s if found else None)
        or DEFAULT_LINK_MIB_S,
        link_known=known if args.link_known is None else args.link_known,
        qemu=args.qemu, seed=args.seed, jitter=args.jitter / 100, until_s=args.until_seconds)


def _intro(scene: trial_mod.Scene, notes: tuple[str, ...]) -> tuple[str, ...]:
    disks = f', with {patterns.size(scene.disk_mib)} of disks' if scene.disk_mib else ''
    link = f'over a link of {patterns.rate(scene.link_mib_s)}'
    if not scene.link_known:
        link += ' that the engine does not know the rate of'
    text = f'{scene.guest.sentence}{disks}, {link}'
    return (f'{text[0].upper()}{text[1:]}.', *(f'note: {one}' for one in notes))


def _document(scene: trial_mod.Scene, notes: tuple[str, ...],
              trials: list[trial_mod.Trial]) -> dict[str, object]:
    return {
        'guest': scene.guest.to_dict(), 'disk_mib': scene.disk_mib,
        'link_mib_s': scene.link_mib_s, 'link_known': scene.link_known, 'qemu': scene.qemu,
        'seed': scene.seed, 'jitter_percent': scene.jitter * 100, 'notes': list(notes),
        'policies': [report.values(trial) for trial in trials]}
