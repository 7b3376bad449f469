"""What a stored voxel may be."""

AIR_HU = -1024
"""The lowest HU that a store holds: padding, what lies outside the scanned field, and everything below become it."""
