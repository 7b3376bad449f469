#!/usr/bin/env bash
# hdf5plugin 7.1.0 with h5py 3.16.0: one flipped bit in a compressed CT-like slice.
#
# One would guess: a slice that was compressed can't be read any more once a bit of it is wrong, as with gzip on a
# command line, whose files end in a checksum. And deflate inside HDF5 ("gzip") ends in an Adler-32.
# What happens: with Blosc and Blosc2 (lz4, shuffle), the usual choice for image stores, most flipped bits are read
# without an error as other voxels. "gzip" raises for nearly all. With fletcher32=True beside Blosc every one raises.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/python -m pip install --quiet --disable-pip-version-check h5py==3.16.0 hdf5plugin==7.1.0 numpy==2.3.5
venv/bin/python - <<'PY' | tee seen
import h5py
import hdf5plugin
import numpy as np

print("h5py", h5py.__version__, "hdf5plugin", hdf5plugin.version)
rng = np.random.default_rng(0)
ramp = np.add.outer(np.arange(224), np.arange(224))
slices = (ramp + rng.normal(0, 15, (4, 224, 224))).astype(np.int16)
blosc = dict(hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.SHUFFLE))
blosc2 = dict(hdf5plugin.Blosc2(cname="lz4", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE))
kinds = {
    "blosc": blosc,
    "blosc2": blosc2,
    "gzip": {"compression": "gzip", "shuffle": True},
    "blosc+fletcher32": blosc | {"fletcher32": True},
}
for name, how in kinds.items():
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("x", data=slices, chunks=(1, 224, 224), **how)
    with h5py.File("a.h5") as file:
        chunk = file["x"].id.get_chunk_info(2)
    whole = open("a.h5", "rb").read()
    outcomes = {"raised": 0, "wrong": 0, "right": 0}
    for place in rng.integers(chunk.size, size=200):
        damaged = bytearray(whole)
        damaged[chunk.byte_offset + int(place)] ^= 1 << int(place % 8)
        open("a.h5", "wb").write(damaged)
        try:
            with h5py.File("a.h5") as file:
                outcomes["right" if (file["x"][2] == slices[2]).all() else "wrong"] += 1
        except OSError:
            outcomes["raised"] += 1
    most = max(outcomes, key=outcomes.get)
    print(name, "mostly" if outcomes[most] < 200 else "always", most)
    print("   ", outcomes)
PY
diff <(grep -E "mostly|always" seen) - <<'EXPECTED'
blosc mostly wrong
blosc2 mostly wrong
gzip mostly raised
blosc+fletcher32 always raised
EXPECTED
echo "as described"
