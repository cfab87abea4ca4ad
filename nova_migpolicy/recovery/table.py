# SPDX-License-Identifier: Apache-2.0
"""The one table from evidence to the next step of a migration that nobody watches.

The first row that fits counts, and one fits always. A row never acts on what is not known: a host
that does not answer may run the guest. Every step may be interrupted and taken again.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import enum

from nova_migpolicy.recovery import evidence

Source = evidence.Source
Destination = evidence.Destination
Written = evidence.Written
Home = evidence.Home
Status = evidence.Status


class Kind(enum.Enum):
    """A step."""

    #: watch and steer the job that still runs
    ADOPT = 'adopt'
    #: the guest has arrived: make Nova's records say so, and clear the source
    FINISH = 'finish'
    #: the guest has stayed: make Nova's records say so, and clear the destination
    ROLL_BACK = 'roll back'
    #: take up post-copy where it broke off
    RESUME = 'resume'
    #: look again soon: this passes by itself, or by a host's return
    WAIT = 'wait'
    #: leave all as it is, locked, for an operator
    HOLD = 'hold'
    #: the server was deleted: remove what is left of it
    DISCARD = 'discard'
    #: the guest was rebuilt elsewhere, or deleted: Nova's record of the migration ends
    CLOSE = 'close'
    #: all is done but for what libvirt has left defined on the source
    CLEAR = 'clear'
    #: the guest was evacuated and runs elsewhere: its second copy on the source is ended
    END = 'end the second copy'
    #: no trace is left of it; the record goes
    NOTHING = 'nothing'


#: these change something, for which the record on the source is needed
BY_RECORD = frozenset({Kind.ADOPT, Kind.FINISH, Kind.ROLL_BACK, Kind.RESUME})


@dataclasses.dataclass(frozen=True)
class Step:
    """The next step, and why; the sentence says what was found."""

    kind: Kind
    reason: str


@dataclasses.dataclass(frozen=True)
class Row:
    """A row: it fits where each column that it names has one of the values.

    also: a further condition on all of the evidence.
    """

    kind: Kind
    reason: str
    source: abc.Set[Source] = frozenset(Source)
    destination: abc.Set[Destination] = frozenset(Destination)
    written: abc.Set[Written] = frozenset(Written)
    home: abc.Set[Home] = frozenset(Home)
    job: bool | None = None
    also: abc.Callable[[evidence.Evidence], bool] = lambda seen: True

    def fits(self, seen: evidence.Evidence) -> bool:
        """Whether it is this row's case."""
        return (seen.source in self.source and seen.destination in self.destination
                and seen.written in self.written and seen.home in self.home
                and self.job in (None, seen.job) and self.also(seen))


def _is_settled(seen: evidence.Evidence) -> bool:
    return seen.is_settled


def _is_completed(seen: evidence.Evidence) -> bool:
    return seen.is_settled and seen.status is Status.COMPLETED


def _is_rolled_back(seen: evidence.Evidence) -> bool:
    """Whether Nova has seen the end of it, or nobody could roll it back any more."""
    return _stays_as_it_is(seen) and (
        seen.status is not Status.GIVEN_UP or seen.written is Written.LOST)


def _stays_as_it_is(seen: evidence.Evidence) -> bool:
    """Whether a guest that has stayed needs nothing any more: it runs, or its user paused it."""
    return seen.is_settled and (seen.source is not Source.PAUSED or seen.was_paused)


_HERE = frozenset({Source.RUNNING, Source.PAUSED})
_OFF = frozenset({Source.SHUT_OFF, Source.MIGRATED, Source.ABSENT})
_LEFT = frozenset({Source.MIGRATED, Source.ABSENT})
_ARRIVED = frozenset({Destination.ARRIVED, Destination.SHUT_OFF})
_HALF_THERE = frozenset({Destination.POST_COPY, Destination.POST_COPY_FAILED})
_NOT_THERE = frozenset({Destination.ABSENT, Destination.SHUT_OFF})
_READABLE = frozenset(Written) - {Written.LOST}
_NOT_BEGUN = frozenset({Status.QUEUED, Status.MISSING})
_BETWEEN_THEM = frozenset({Home.SOURCE, Home.DESTINATION})

TABLE: tuple[Row, ...] = (
    Row(Kind.WAIT, "Nova's database does not answer", home={Home.SILENT}),
    Row(Kind.WAIT, 'Nova is moving, evacuating or deleting the server', home={Home.CHANGING}),
    # The server's task state, ports and volumes are that one's.
    Row(Kind.WAIT, 'a newer live migration of the server is under way',
        also=lambda seen: seen.is_superseded),

    # Deleted meanwhile: what is left of it is nobody's.
    Row(Kind.NOTHING, 'the server was deleted, and neither host has anything of it',
        home={Home.NONE}, source={Source.ABSENT}, destination={Destination.ABSENT}, job=False,
        written={Written.DONE, Written.LOST}),
    Row(Kind.CLOSE, 'the server was deleted, and what was claimed for it may be left',
        home={Home.NONE}, source={Source.ABSENT}, destination={Destination.ABSENT}, job=False),
    Row(Kind.WAIT, 'the server was deleted, and a host that may have something of it does not '
        'answer', home={Home.NONE}, source={Source.SILENT}),
    Row(Kind.WAIT, 'the server was deleted, and a host that may have something of it does not '
        'answer', home={Home.NONE}, destination={Destination.SILENT}),
    Row(Kind.DISCARD, 'the server was deleted, and a host still has something of it',
        home={Home.NONE}),

    Row(Kind.HOLD, 'both hosts run the guest', source={Source.RUNNING},
        destination={Destination.ARRIVED}, job=False),
    Row(Kind.END, 'it was evacuated and runs where Nova has it, and the source has a second copy',
        source=_HERE, destination=frozenset(Destination) - _HALF_THERE, home={Home.OTHER},
        also=lambda seen: seen.is_evacuated),
    Row(Kind.NOTHING, 'all of it was done', written={Written.DONE}),

    # The source cannot be asked.
    Row(Kind.FINISH, 'the source is off, and the guest had arrived before', source={Source.SILENT},
        destination=_ARRIVED, home=_BETWEEN_THEM, also=lambda seen: seen.fenced),
    Row(Kind.HOLD, 'the source is off, and the rest of the memory was there alone',
        source={Source.SILENT}, destination=_HALF_THERE, also=lambda seen: seen.fenced),
    Row(Kind.NOTHING, 'the source is off, and the guest had not arrived', source={Source.SILENT},
        destination={Destination.ABSENT}, also=lambda seen: seen.fenced),
    Row(Kind.WAIT, 'libvirt on the source does not answer', source={Source.SILENT}),

    # libvirt is still at it, or broke off where both hosts have a part of the memory.
    Row(Kind.FINISH, 'all of the memory has arrived after post-copy had broken off',
        source={Source.POST_COPY_FAILED}, destination={Destination.ARRIVED}, home=_BETWEEN_THEM),
    Row(Kind.RESUME, 'post-copy broke off, and both hosts have their part of the memory',
        source={Source.POST_COPY_FAILED}, destination=_HALF_THERE, home=_BETWEEN_THEM),
    Row(Kind.WAIT, 'post-copy broke off, and the destination does not answer',
        source={Source.POST_COPY_FAILED}, destination={Destination.SILENT}),
    Row(Kind.HOLD, 'post-copy broke off, and the destination has no part of the memory any more',
        source={Source.POST_COPY_FAILED}),
    Row(Kind.ADOPT, 'its job runs in libvirt', job=True, home=_BETWEEN_THEM,
        source={*_HERE, Source.POST_COPY}),
    Row(Kind.WAIT, 'its job is about to end', job=True),
    Row(Kind.WAIT, 'libvirt has lost the job of its post-copy, and will say how it ended',
        source={Source.POST_COPY}),

    # The guest has been elsewhere since, or is back: an old record.
    Row(Kind.FINISH, 'it was completed, and the last of it may not have been done',
        source=_OFF, destination=_ARRIVED, written=_READABLE, home={Home.DESTINATION},
        also=_is_completed),
    Row(Kind.CLEAR, 'it was completed, and the source still has a copy that is off',
        source=_OFF - {Source.ABSENT}, destination=_ARRIVED, written={Written.LOST},
        home={Home.DESTINATION}, also=_is_completed),
    Row(Kind.NOTHING, 'it was completed, and the guest has left the source',
        source={Source.ABSENT}, written={Written.LOST}, home={Home.DESTINATION},
        also=_is_completed),
    Row(Kind.CLEAR, 'it was over, and the source still has a copy that is off',
        source=_OFF - {Source.ABSENT}, destination=_NOT_THERE, written={Written.LOST},
        home={Home.OTHER}, also=_is_settled),
    Row(Kind.NOTHING, 'it was over, and the guest has moved on', source={Source.ABSENT},
        written={Written.LOST}, home={Home.OTHER}, also=_is_settled),
    Row(Kind.CLOSE, 'the guest was rebuilt on another host, and no other has it', source=_OFF,
        destination=_NOT_THERE, home={Home.OTHER}),
    Row(Kind.WAIT, 'the guest was rebuilt on another host, and the destination does not answer',
        source=_OFF, destination={Destination.SILENT, Destination.INCOMING}, home={Home.OTHER}),
    Row(Kind.HOLD, 'Nova has the guest on another host, and one of these has a copy of it',
        home={Home.OTHER}),

    # The guest has left the source.
    Row(Kind.FINISH, 'the guest has arrived', source={Source.PAUSED},
        destination={Destination.ARRIVED}),
    Row(Kind.FINISH, 'the guest has arrived', source=_LEFT, destination=_ARRIVED),
    Row(Kind.FINISH, 'the guest has arrived, and is shut off on the source',
        source={Source.SHUT_OFF}, destination=_ARRIVED),
    Row(Kind.WAIT, 'the guest has left the source, and is about to be whole on the destination',
        source=_LEFT, destination={Destination.POST_COPY, Destination.INCOMING}),
    Row(Kind.HOLD, 'the source is shut off, and the rest of the memory was there alone',
        source=_OFF, destination=_HALF_THERE),
    Row(Kind.WAIT, 'the guest is off on the source, and the destination is about to give it up',
        source={Source.SHUT_OFF}, destination={Destination.INCOMING}),
    Row(Kind.HOLD, 'neither host has the guest', source=_LEFT,
        destination={Destination.ABSENT}),

    # The guest is still the source's.
    Row(Kind.HOLD, 'the guest is on the source, and the destination has one that is shut off, as '
        'if it had arrived', source=_HERE, destination={Destination.SHUT_OFF}),
    Row(Kind.HOLD, 'both hosts have a part of the guest, and libvirt has no job that joins them',
        source=_HERE, destination=_HALF_THERE),
    # The destination has never had the guest then, whether it answers or not.
    Row(Kind.NOTHING, 'it is over, and the guest has never left the source', home={Home.SOURCE},
        source={*_HERE, Source.SHUT_OFF}, written={Written.PREPARING, Written.ROLLING_BACK},
        also=_is_rolled_back),
    Row(Kind.NOTHING, 'it is over, and the guest is on the source', home={Home.SOURCE},
        source={*_HERE, Source.SHUT_OFF}, destination={Destination.ABSENT},
        also=_is_rolled_back),
    Row(Kind.HOLD, 'Nova has the guest on the destination, which does not have it',
        home={Home.DESTINATION}, source={*_HERE, Source.SHUT_OFF},
        destination={Destination.ABSENT}),
    Row(Kind.ROLL_BACK, 'nothing had been sent', source={*_HERE, Source.SHUT_OFF},
        written={Written.PREPARING}, home={Home.SOURCE}),
    Row(Kind.ROLL_BACK, 'it was known to have failed', source={*_HERE, Source.SHUT_OFF},
        written={Written.ROLLING_BACK}, home={Home.SOURCE}),
    Row(Kind.ROLL_BACK, 'the guest has stayed on the source', source={*_HERE, Source.SHUT_OFF},
        destination={Destination.ABSENT}, home={Home.SOURCE}),
    Row(Kind.WAIT, 'the guest is on the source, and the destination is about to give it up',
        destination={Destination.INCOMING}),
    Row(Kind.WAIT, 'the destination does not answer', destination={Destination.SILENT}),
)


def decide(seen: evidence.Evidence) -> Step:
    """Return the one step that this evidence allows."""
    row = next(row for row in TABLE if row.fits(seen))
    if row.kind not in BY_RECORD or seen.written is not Written.LOST:
        return Step(row.kind, row.reason)
    if seen.status in _NOT_BEGUN and row.kind is Kind.ROLL_BACK:
        return Step(row.kind, 'no host had begun with it')
    if seen.source is Source.SILENT:
        # The destination finishes it alone, and has never had the record.
        return Step(row.kind, row.reason)
    return Step(Kind.HOLD, f'{row.reason}, but what was written down of the migration is lost')
