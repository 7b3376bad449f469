#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0.0) beside h5py 3.14.0 (HDF5 1.14.6): a file written with libver="latest".
#
# One would guess: HDF5 is a format for archives, so a data set written by one release of the library is read by the
# release before it, or the file is refused as a whole when it is opened.
# What happens: the older library opens the file and reads a plain data set. A compressed one beside it is listed by
# name, and opening it ends in a KeyError, as if it were damaged. With libver="v110" as upper bound both are read.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
for release in 3.16.0 3.14.0; do
  python3 -m venv "h5py-$release"
  "h5py-$release/bin/python" -m pip install --quiet --disable-pip-version-check "h5py==$release" numpy==2.3.5
done
"h5py-3.16.0/bin/python" - <<'PY'
import h5py
import numpy as np

print("written by h5py", h5py.__version__, "with HDF5", h5py.version.hdf5_version)
for name, bounds in (("latest.h5", "latest"), ("v110.h5", ("v110", "v110"))):
    with h5py.File(name, "w", libver=bounds) as file:
        file["plain"] = np.arange(1000)
        file.create_dataset("compressed", data=np.arange(1000), chunks=(100,), compression="gzip")
PY
"h5py-3.14.0/bin/python" - <<'PY' | tee seen
import h5py

print("read by h5py", h5py.__version__, "with HDF5", h5py.version.hdf5_version)
for name in ("latest.h5", "v110.h5"):
    with h5py.File(name) as file:
        print(name, "lists", sorted(file))
        for part in ("plain", "compressed"):
            try:
                print(name, part, int(file[part][999]))
            except (KeyError, OSError) as error:
                print(name, part, type(error).__name__)
PY
diff <(tail -n +2 seen) - <<'EXPECTED'
latest.h5 lists ['compressed', 'plain']
latest.h5 plain 999
latest.h5 compressed KeyError
v110.h5 lists ['compressed', 'plain']
v110.h5 plain 999
v110.h5 compressed 999
EXPECTED
echo "as described"
