# SPDX-License-Identifier: Apache-2.0
"""The two families of errors: the request is wrong, or the guest's side refused.

Plain Python, so that the pure rooms may import it. It is not a mapping to HTTP codes: the room
that talks HTTP decides that a ``PolicyError`` in a request is a 400.
"""

from __future__ import annotations

from collections import abc


def shown(value: object) -> str:
    """Write a value, which a tenant may have chosen, in one quoted piece of bounded length."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + '...'


class MigPolicyError(Exception):
    """Base of everything this package raises on purpose."""


# The request is wrong: a key, a value, a file, a command, a version.

class PolicyError(MigPolicyError):
    """A request or a file asks for something that cannot be honoured."""


class UnknownKey(PolicyError):
    """There is no policy key of that name."""

    def __init__(self, key: str, close: abc.Sequence[str] = ()) -> None:
        self.key = key
        hint = f"; did you mean {' or '.join(close)}?" if close else ''
        super().__init__(f'there is no policy key {shown(key)}{hint}')


class BadValue(PolicyError):
    """A policy key was given a value that it cannot take.

    :ivar key: the key's name.
    :ivar value: the value as it was given.
    :ivar reason: a part of a sentence that says what is wrong with it.
    """

    def __init__(self, key: str, value: object, reason: str) -> None:
        self.key = key
        self.value = value
        self.reason = reason
        super().__init__(f'{key} = {shown(value)}: {reason}')


class BadRequest(PolicyError):
    """A request or a retune asks for values that cannot be honoured; it lists all of them."""

    def __init__(self, errors: abc.Sequence[PolicyError]) -> None:
        self.errors = tuple(errors)
        super().__init__('; '.join(str(error) for error in self.errors))


class BadProfiles(PolicyError):
    """The file with profiles cannot be used; the sentence names the place and the reason.

    :ivar path: the file.
    :ivar profile: the profile in it, if the trouble is inside of one.
    :ivar key: the key in that profile, if the trouble is with one.
    :ivar value: its value, as read.
    :ivar reason: what is wrong.
    """

    def __init__(self, path: str, reason: str, *, profile: str | None = None,
                 key: str | None = None, value: object = None) -> None:
        self.path = path
        self.profile = profile
        self.key = key
        self.value = value
        self.reason = reason
        where = f'profiles file {path}'
        if profile is not None:
            where += f', profile {profile!r}'
        if key is not None:
            where += f', {key} = {shown(value)}'
        super().__init__(f'{where}: {reason}')


class BadOption(PolicyError):
    """An option in nova.conf's [migpolicy] group contradicts the policy keys."""

    def __init__(self, option: str, value: object, reason: str) -> None:
        self.option = option
        self.value = value
        self.reason = reason
        super().__init__(f'nova.conf [migpolicy] {option} = {shown(value)}: {reason}')


class BadRecord(MigPolicyError):
    """What was written down of a migration cannot be used, or a value cannot be written down.

    :ivar field: its path in the record, such as `policy.fields`.
    :ivar value: the value as it was given.
    :ivar reason: a part of a sentence that says what is wrong with it.
    """

    def __init__(self, field: str, value: object, reason: str) -> None:
        self.field = field
        self.value = value
        self.reason = reason
        # What is in a container may be secret, as the password of a volume is.
        is_short = value is None or isinstance(value, (str, float)) or (
            isinstance(value, int) and value.bit_length() <= 64)
        what = shown(value) if is_short else f'({type(value).__name__})'
        given = '' if isinstance(value, bytes) else f' = {what}'
        super().__init__(f'record of a migration, {field[:200]}{given}: {reason}')


class RecordFileError(MigPolicyError, OSError):
    """The file of a migration's record could not be written, read or removed.

    :cvar FAILED: what was not done, up to the name of the file.
    :ivar path: the file.
    """

    FAILED: str

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        super().__init__(f'{self.FAILED} {path}: {reason}')


class RecordNotKept(RecordFileError):
    """It could not be written; the one before is as it was."""

    FAILED = 'the record of a migration was not kept in'


class RecordNotRead(RecordFileError):
    """It could not be read just now; that does not say that there is none."""

    FAILED = 'the record of a migration could not be read from'


class RecordNotDropped(RecordFileError):
    """It could not be removed."""

    FAILED = 'the record of a migration was not removed from'


class BadMessage(MigPolicyError):
    """What another host has sent is no message about slots, or nonsense; the sentence says why."""


class UnknownServer(MigPolicyError):
    """Nova has no server of this id."""

    def __init__(self, server: str) -> None:
        self.server = server
        super().__init__(f'there is no server {shown(server)}')


class UnsupportedNova(PolicyError):
    """The Nova that this package was loaded into is not one that it knows."""


# The guest's side refused: libvirt, QEMU, or the guest is gone.

class GuestError(MigPolicyError):
    """libvirt or QEMU did not do what it was told.

    :ivar action: what was tried, in a word or two.
    :ivar code: libvirt's error number, or None if there was none.
    """

    def __init__(self, action: str, reason: str, code: int | None = None) -> None:
        self.action = action
        self.reason = reason
        self.code = code
        super().__init__(f'{action}: {reason}')


class GuestGone(GuestError):
    """The domain is not on this host any more."""


class JobGone(GuestError):
    """The domain is here but no migration job runs on it."""


class Unsupported(GuestError):
    """Beyond what the installed libvirt or QEMU can do: no point in trying again."""
