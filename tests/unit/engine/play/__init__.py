# SPDX-License-Identifier: Apache-2.0
"""The engine plays whole migrations on the model of pre-copy."""
