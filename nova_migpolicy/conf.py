# SPDX-License-Identifier: Apache-2.0
"""The options in nova.conf's [migpolicy] group.

The ones that set a policy key for all servers are generated from ``policy.keys``; the others
are the operator's own. What is read from them, and when, is in ``nova_migpolicy.site_settings``.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg
from oslo_config import types

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import nova_options
from nova_migpolicy import vocabulary


def _flow(text: str) -> str:
    """Join the lines of each paragraph: the generator of the sample breaks them again."""
    paragraphs = [' '.join(part.split()) for part in text.strip().split('\n\n')]
    return '\n' + '\n\n'.join(paragraphs) + '\n'


NAME = 'migpolicy'

_GROUP_HELP = _flow("""
What live migrations may do to servers, unless a flavor, an image or a
request says otherwise. It takes effect where ``[DEFAULT] compute_driver``
is ``migpolicy.LibvirtDriver``. All of these options can be changed while
nova-compute runs, by SIGHUP; migrations that run already keep what they
started with.
""")

# Keys that an image may set at all.
_IMAGE_KEYS = sorted(key.name for key in keys.KEYS.values() if 'image' in key.sources)

OPERATOR_OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'profiles_file', mutable=True, sample_default='/etc/nova/migpolicy-profiles.yaml',
        help=_flow("""
A YAML file with profiles that are added to the built-in ones.

A file that cannot be used stops nova-compute at its start, with a line in the
log that names the place and the reason. On SIGHUP it is read again; if it
cannot be used then, the profiles that are in force stay.
""")),
    cfg.ListOpt(
        'image_keys', default=[], mutable=True,
        item_type=types.String(choices=_IMAGE_KEYS),
        help=_flow("""
The policy keys that images may set, by the property migpolicy_<key>.

Images belong to tenants. By default none of their properties counts. An image
may move a listed key only to gentler values than the flavor and nova.conf give,
and not so far that its server could no longer be migrated; see image_limits.
With profile in this list an image may name a profile, each of whose values is
held against the same limits.
""")),
    cfg.DictOpt(
        'image_limits', default={}, mutable=True,
        sample_default={'max_downtime_ms': '100-1000', 'on_stall': 'post_copy|pause',
                        'remedies': 'bandwidth|downtime-post_copy'},
        help=_flow("""
How far images may move the keys that are listed in image_keys.

Of a number, LOW-HIGH, where either may be left out: without LOW the built-in
floor of the key holds, without HIGH the value that would be in force without
the image. Of remedies, the ones that an image cannot drop and the ones that it
may add. Of a choice, the values that an image may take. A value that the flavor
sets is never exceeded.
""")),
    cfg.DictOpt(
        'request_limits', default={}, mutable=True,
        sample_default={'max_bandwidth_mib_s': '-2000', 'timeout_seconds': '60-7200',
                        'on_timeout': 'abort|pause|continue',
                        'remedies': '-bandwidth|downtime|pause'},
        help=_flow("""
How far a request for a live migration, and a retune of a running one, may go.

Both outrank the flavor and the image, so this is what bounds them. Of a number,
LOW-HIGH, where either may be left out. Of remedies, the ones that cannot be
dropped and the ones that may be added. Of a choice, the values that may be
taken. What goes further is refused, and so is a profile with a value that does.
The value that would be in force anyway is never refused. A key that is not
listed here has no limit but its own range.
""")),
    cfg.IntOpt(
        'link_mib_s', default=0, min=0, max=1_000_000, mutable=True,
        help=_flow("""
The rate of the link between hosts, in MiB/s, as measured between two idle ones.

It is needed to hold the promised downtime while the bandwidth is capped: the
cap does not bind the switchover, the link does. Give a value that two hosts
reach at any time; a value that is too high breaks the promise. 0 means that it
is learnt from the migrations themselves, and that nothing is assumed until then.
""")),
    cfg.IntOpt(
        'max_outgoing', default=2, min=0, max=1000, mutable=True,
        help=_flow("""
How many live migrations this host sends at once; 0 is no limit.

A migration takes a slot of its source and one of its destination just before its
data flows, both or none, and keeps them until it has flowed. The others wait, and
say what for; each that waits, and each that flows, has one of Nova's threads for
live migrations, so ``[DEFAULT] max_concurrent_live_migrations`` has to be higher
than this, or this limit is not reached.
""")),
    cfg.IntOpt(
        'max_incoming', default=2, min=0, max=1000, mutable=True,
        help=_flow("""
How many live migrations this host takes at once; 0 is no limit. See max_outgoing.
""")),
    cfg.IntOpt(
        'alone_above_gib', default=0, min=0, max=1_000_000, mutable=True,
        help=_flow("""
A live migration to this host that sends more than this, in GiB of memory and of
disks that are copied, has the host to itself; 0 is never.

It waits until the host is idle. After two minutes others are held back for it.
""")),
    cfg.FloatOpt(
        'incoming_weight_multiplier', default=1.0, mutable=True,
        help=_flow("""
How much nova-scheduler prefers hosts to which few live migrations come, where its
``[filter_scheduler] weight_classes`` has
``nova_migpolicy.scheduler.weighers.IncomingLoadWeigher``.

It counts for servers that are moved, and never for one that is booted. A negative
value prefers the others. The metadata ``migpolicy_incoming_weight_multiplier`` of an
aggregate has precedence.
""")),
    cfg.BoolOpt(
        'allow_qmp', default=True, mutable=True,
        help=_flow("""
Whether monitor commands may be sent to QEMU past libvirt.

They are used for what libvirt's API cannot do: the limits of auto-converge and the
rates of disks that are copied in a running migration, and which QEMU runs the
server, where that matters. libvirt marks a domain as tainted when they are used.
Without them the remedy auto_converge is not available, the rate of disks cannot be
changed, and each of several disks keeps an equal part of the cap to its end.
""")),
    cfg.BoolOpt(
        'measure_before_start', default=True, mutable=True,
        help=_flow("""
Whether QEMU measures for a second, before a live migration starts, how much
memory the server dirties.

It takes samples of pages while the destination is being prepared; only where that
takes less than a second, the migration waits for the rest of it. A migration whose
bandwidth cannot keep up with the server is then given more at once, where its policy
permits that, and forecasts are better from the start. It takes libvirt 7.2 or later;
without it the passes show the same later.
""")),
    cfg.StrOpt(
        'on_shutdown', default=vocabulary.LEAVE, mutable=True,
        choices=list(vocabulary.ON_SHUTDOWN.items()),
        help=_flow("""
What happens to the running live migrations from this host when nova-compute is
stopped (SIGTERM).

Whatever is chosen, those that wait in Nova's queue or are being prepared are
cancelled. What is not over when the time is up is left to
libvirt and to the next nova-compute. The time is ``[DEFAULT]
manager_shutdown_timeout`` less 20 s in Nova 34, the whole of it in Nova 33, and
``graceful_shutdown_timeout`` less 10 s in Nova 31 and 32. Whatever ends the
process, such as systemd or a container's engine, has to give it more than that.
Migrations with the profile nova are Nova's own: they are never left.
""")),
    cfg.IntOpt(
        'journal_days', default=30, min=1, max=3650, mutable=True,
        help=_flow("""
For how many days the journal of a migration is kept.

The journal, one file for each migration in the folder migpolicy/journal of
state_path, has its samples, forecasts and decisions.
""")),
    cfg.IntOpt(
        'journal_max_kib', default=1024, min=16, max=1_048_576, mutable=True,
        help=_flow("""
How large the journal of one migration may become, in KiB.

Samples are left out beyond it, and all other records but the last at
twice as much.
""")),
]


def _type_of(key: keys.Key) -> Any:
    if key.kind == 'int' and not key.names:
        return types.Integer(min=key.minimum, max=key.maximum)
    if key.kind == 'choice':
        return types.String(choices=[(word, keys.WORDS[word]) for word in key.choices])
    if key.kind == 'list':
        return types.List(types.String(choices=[*key.choices, 'none'] if key.choices else None))
    return types.String()


def _default_text(key: keys.Key) -> str:
    if key.name == 'profile':
        return f'If it is not set, {keys.DEFAULT_PROFILE}.'
    return ('If it is not set, the value of the profile; in '
            f'{keys.DEFAULT_PROFILE} that is {key.text(key.default) or "empty"}.')


def _help(key: keys.Key) -> str:
    parts = [key.help]
    if key.zero:
        parts.append(f'0 means {key.zero}.')
    if key.names:
        parts.append(f'It takes {key.allows()}.')
    for option in nova_options.OPTIONS.values():
        if option.fate is nova_options.Fate.MAPPED and key.name in option.keys:
            parts.append(f'{option.title}, if that is set, counts for this unless it is set.')
    parts.append(_default_text(key))
    if not key.in_effect:
        parts.append('Reserved: nothing acts on it yet.')
    return _flow('\n\n'.join(parts))


def policy_opts() -> list[cfg.Opt]:
    """Make one option for each policy key; unset means that the profile decides."""
    return [cfg.Opt(key.name, type=_type_of(key), mutable=True, help=_help(key))
            for key in keys.KEYS.values()]


def _group() -> cfg.OptGroup:
    """Make a group of its own each time: a group holds the values of one configuration."""
    return cfg.OptGroup(NAME, title='Live migrations steered by policy', help=_GROUP_HELP)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Make the group known to a configuration; doing it twice does no harm."""
    conf.register_group(_group())
    conf.register_opts(policy_opts() + OPERATOR_OPTS, group=NAME)


def list_opts() -> list[tuple[cfg.OptGroup, list[cfg.Opt]]]:
    """Return the options, for oslo-config-generator."""
    return [(_group(), policy_opts() + OPERATOR_OPTS)]
