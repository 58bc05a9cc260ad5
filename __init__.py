# SPDX-License-Identifier: Apache-2.0
"""andpop: binary neural networks on edge hardware, exact to the bit."""

__version__ = "0.1.0"
