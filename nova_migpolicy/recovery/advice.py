# SPDX-License-Identifier: Apache-2.0
"""What an operator can do about a migration that recovery leaves undecided, in sentences."""

from __future__ import annotations

from nova_migpolicy.recovery import table

Kind = table.Kind

#: a step that is not complete after so many seconds does not come to its end by itself
LASTS_S = 600.0

_RELEASE = ('`nova-migpolicy recovery release SERVER`, and start it with `openstack server reboot '
            '--hard SERVER`')
_GONE = ('Its memory is lost; its disks are not. Destroy what is left of the guest on both hosts '
         f'(`virsh destroy`), then {_RELEASE}')
_MENDED = 'The rest is then done within a minute'

#: by the reason of the table's row
_FOR_REASON = {
    'both hosts run the guest': (
        'Both write to the same disks: be quick. Look at both consoles, and destroy the copy that '
        'is not in use with `virsh destroy` on its host. Then check its file systems. '
        f'{_MENDED}'),
    'the source is off, and the rest of the memory was there alone': (
        'Start the source again if it was only cut off, and never powered off. Else its memory is '
        'lost; its disks are not: destroy what is left of it on the destination (`virsh '
        'destroy`), then evacuate server SERVER'),
    'post-copy broke off, and the destination has no part of the memory any more': _GONE,
    'Nova has the guest on another host, and one of these has a copy of it': (
        'Look with `virsh list --all` on both hosts, and destroy and undefine the copy of it '
        f'there, if that is not the one in use. {_MENDED}'),
    'the source is shut off, and the rest of the memory was there alone': _GONE,
    'neither host has the guest': (
        "Look with `virsh list --all` on both hosts, and in QEMU's log for why it has gone. If it "
        f'runs on neither: {_RELEASE}'),
    'the guest is on the source, and the destination has one that is shut off, as if it had '
    'arrived': (
        'See which of the two was in use last. If it is the one on the source, undefine the one '
        'on the destination (`virsh undefine`); if not, destroy the one on the source. '
        f'{_MENDED}'),
    'both hosts have a part of the guest, and libvirt has no job that joins them': _GONE,
    'Nova has the guest on the destination, which does not have it': (
        'What is on the source may be older than what ran on the destination. If nothing there is '
        f'needed, destroy it, then {_RELEASE}: it starts on the destination'),
}

_FOR_KIND = {
    Kind.HOLD: ('Look with `virsh list --all` on both hosts where the guest runs, and in the log '
                f'of nova-compute. If it runs on neither: {_RELEASE}'),
    Kind.WAIT: ('Nothing, if this passes by itself: it is looked at again every few seconds. If '
                'it stays, see that both hosts, their nova-compute and libvirt, the database and '
                'the message bus answer'),
    Kind.RESUME: ('Nothing: it is tried again until the link between the hosts answers. Restart '
                  'neither the guest nor libvirt on either host meanwhile: both have a part of '
                  'its memory'),
}
_FOR_ANY = 'Nothing: it is done by itself'


def what_to_do(kind: str, reason: str, server: str) -> str:
    """Return what can be done about a step that is not complete, without a stop at its end.

    :param kind: the step's, as it is written down; one that is not known is none to act on
    :param server: its UUID, for the commands
    """
    known = next((one for one in Kind if one.value == kind), None)
    found = _FOR_KIND.get(known, _FOR_ANY) if known else _FOR_ANY
    if known is Kind.HOLD:
        found = _FOR_REASON.get(reason, found)
    return found.replace('SERVER', server)


def needs_operator(kind: str, age_s: float) -> bool:
    """Whether a step does not pass by itself, or should have passed by now.

    :param age_s: since when it is not complete, in seconds
    """
    return kind == Kind.HOLD.value or age_s > LASTS_S
