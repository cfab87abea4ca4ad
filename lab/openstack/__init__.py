# SPDX-License-Identifier: Apache-2.0
"""The parts of the lab's OpenStack: where things are, settings, services, databases, users.

lab.stack puts them together; nothing else should import them.
"""
