# SPDX-License-Identifier: Apache-2.0
"""The settings in nova.conf and the profiles file, read as a whole and replaced as a whole.

A migration takes the settings that are in force when it starts. On SIGHUP everything is read
again; if any of it is wrong, all of the old settings stay. Merging them with a flavor and an
image is ``policy.resolve``'s business.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import types
from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy import conf as options
from nova_migpolicy import exception
from nova_migpolicy import nova_conf
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import limit as limit_mod
from nova_migpolicy.policy import nova_values
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)
MIB_PER_GIB = 1024.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """One consistent reading of nova.conf and the profiles file.

    :ivar libvirt: Nova's own options that stand for policy keys, where they are set.
    :ivar operator: the policy keys that [migpolicy] sets.
    :ivar progress_interval_s: the least time between two writes of progress into the database.
    :ivar on_shutdown: what happens to running migrations, one of vocabulary.ON_SHUTDOWN.
    :ivar limits: how many migrations this host sends and takes at once.
    :ivar remarks: sentences for the operator about Nova's own options.
    """

    profiles: abc.Mapping[str, profiles.Profile]
    libvirt: abc.Mapping[str, object]
    operator: abc.Mapping[str, object]
    image_keys: frozenset[str]
    image_limits: abc.Mapping[str, limit_mod.Limit]
    request_limits: abc.Mapping[str, limit_mod.Limit]
    progress_interval_s: float
    on_shutdown: str
    limits: limits_mod.Limits = dataclasses.field(default_factory=limits_mod.Limits)
    remarks: tuple[str, ...] = ()

    def sources(self, **given: Any) -> resolve.Sources:
        """Make the sources for one migration from flavor, image, request, retune and earlier."""
        return resolve.Sources(
            profiles=self.profiles, libvirt=self.libvirt, operator=self.operator,
            image_keys=self.image_keys, image_limits=self.image_limits,
            request_limits=self.request_limits, **given)

    def describe(self) -> str:
        """Describe the settings in a line, for the log."""
        named = self.operator.get('profile', keys.DEFAULT_PROFILE)
        text = f'profile {named}'
        site = resolve.resolve(self.sources())
        changed = {name for name in self.libvirt
                   if site.policy.is_stock or resolve.is_from(site, name, resolve.Level.LIBVIRT)}
        changed.update(self.operator)
        changed.discard('profile')
        if changed:
            text += ', ' + ', '.join(
                f'{name}={keys.KEYS[name].text(getattr(site.policy, name))}'
                for name in sorted(changed))
        own = sorted(profile.name for profile in self.profiles.values() if profile.path)
        if own:
            text += f'; profiles from the file: {", ".join(own)}'
        if self.image_keys:
            text += f'; images may set {", ".join(sorted(self.image_keys))}'
        if self.request_limits:
            text += f'; requests are limited in {", ".join(sorted(self.request_limits))}'
        if self.on_shutdown != vocabulary.LEAVE:
            text += f'; when nova-compute is stopped: {self.on_shutdown}'
        return text


class Store:
    """The store of the settings in force.

    :raises exception.PolicyError: when it is made, if anything that it reads is wrong.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        options.register_opts(conf)
        self._conf = conf
        self.settings = read(conf)
        self._told: list[abc.Callable[[Settings], object]] = []
        _tell(self.settings.remarks)

    def reload_on_sighup(self) -> None:
        """Read everything again, from now on, whenever the process is told to reload."""
        self._conf.register_mutate_hook(self._hook)

    def _hook(self, conf: cfg.ConfigOpts, fresh: object) -> None:
        self.reload()

    def reload(self) -> bool:
        """Read everything again; if that fails, keep what is in force and say why."""
        try:
            new = read(self._conf)
        except Exception as error:
            # Whatever it is, an exception here would end the reload of the whole service.
            LOG.error('The [migpolicy] settings in force stay, because the new ones cannot be '
                      'used: %s', error)
            return False
        if new != self.settings:
            LOG.info('New [migpolicy] settings are in force for migrations that start from now '
                     'on: %s', new.describe())
        _tell(remark for remark in new.remarks if remark not in self.settings.remarks)
        self.settings = new
        for tell in self._told:
            try:
                tell(new)
            except Exception:
                LOG.exception('Not everything goes by the new [migpolicy] settings')
        return True

    def on_change(self, tell: abc.Callable[[Settings], object]) -> None:
        """Have a function called with the new settings after each reload."""
        self._told.append(tell)


def _tell(remarks: abc.Iterable[str]) -> None:
    for remark in remarks:
        LOG.warning('%s', remark)


def read(conf: cfg.ConfigOpts) -> Settings:
    """Read nova.conf and the profiles file; nothing that Nova's own options say is an error.

    :raises exception.BadOption: if an option is wrong.
    :raises exception.BadProfiles: if the profiles file is.
    """
    novas = nova_conf.read(conf)
    base = dict(profiles.BUILT_IN)
    base[keys.STOCK_PROFILE] = nova_values.stock(base[keys.STOCK_PROFILE], novas)
    known: abc.Mapping[str, profiles.Profile] = base
    path = _option(conf, 'profiles_file')
    if path:
        known = profiles.load(conf.find_file(path) or path, base)
    operator = {}
    for name, key in keys.KEYS.items():
        given = _option(conf, name)
        if given is not None:
            operator[name] = _parse(key, given)
    named = operator.get('profile')
    if named is not None and named not in known:
        raise exception.BadOption(
            'profile', named, f'there is no such profile; there are {", ".join(sorted(known))}')
    found = Settings(
        profiles=known, libvirt=nova_values.libvirt(novas),
        operator=types.MappingProxyType(operator),
        image_keys=frozenset(_option(conf, 'image_keys')),
        image_limits=_limits(conf, 'image_limits'),
        request_limits=_limits(conf, 'request_limits'),
        progress_interval_s=nova_values.progress_interval_s(novas),
        on_shutdown=_option(conf, 'on_shutdown'),
        limits=limits_mod.Limits(
            _option(conf, 'max_outgoing'), _option(conf, 'max_incoming'),
            _option(conf, 'alone_above_gib') * MIB_PER_GIB))
    return dataclasses.replace(found, remarks=_remarks(novas, found))


def _remarks(novas: nova_values.All, found: Settings) -> tuple[str, ...]:
    site = resolve.resolve(found.sources())
    is_stock = site.policy.is_stock
    if is_stock:
        # A flavor may choose another profile, and then the keys beside that one count.
        beside = {name: value for name, value in found.operator.items() if name != 'profile'}
        site = resolve.resolve(dataclasses.replace(found.sources(), operator=beside))
    return nova_values.remarks(novas, site, is_stock)


def _option(conf: cfg.ConfigOpts, name: str) -> Any:
    try:
        return conf.migpolicy[name]
    except cfg.ConfigFileValueError as error:
        raise exception.MigPolicyError(f'nova.conf [migpolicy]: {error}') from error


def _parse(key: keys.Key, given: object) -> keys.Value:
    try:
        return key.parse(given)
    except exception.BadValue as error:
        raise exception.BadOption(key.name, given, error.reason) from error


def _limits(conf: cfg.ConfigOpts, option: str) -> abc.Mapping[str, limit_mod.Limit]:
    limits = {}
    for name, text in _option(conf, option).items():
        try:
            limits[name] = limit_mod.parse(keys.find(name), text)
        except exception.BadValue as error:
            raise exception.BadOption(option, f'{name}:{text}', error.reason) from error
        except exception.UnknownKey as error:
            raise exception.BadOption(option, f'{name}:{text}', str(error)) from error
    return types.MappingProxyType(limits)
