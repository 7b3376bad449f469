"""Public CTPA sets as they lie on disk: one file a set, and the dict of them in `known`."""
