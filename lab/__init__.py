# SPDX-License-Identifier: Apache-2.0
"""Real hosts on one machine, to try live migrations on.

Two levels: *hosts* (namespaces with their own libvirtd and QEMU, joined by a link that can be
shaped) and, on top of them, *stack* (a real OpenStack). Nothing here is used by the plugin itself.
"""
