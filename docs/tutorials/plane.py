"""
A density in the plane
======================

Learn a checkerboard, look at it, and compare with what is known.
"""

import surflow as sf

print(sf.data.checkerboard.entropy())
