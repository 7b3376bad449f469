#!/usr/bin/env bash
# With python-gdcm 3.2.6, an empty folder named `dl` in the working folder keeps pydicom from decoding anything.
#
# One would guess: an empty folder of data has no part in `import gdcm`, and pydicom does without a decoder that fails.
# Behaviour: gdcm asks for `dl`, a module of Python 2, and does without it after an ImportError. Python takes the folder for
#   a namespace package of that name, so that there is no ImportError but an AttributeError, which pydicom lets through.
# Output seen: "without the folder: imported", "with the folder: AttributeError: module 'dl' has no attribute 'RTLD_NOW'".
#
# Needs python3.11 or later with venv, and a package index. Exits 1 if the behaviour is another one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check python-gdcm==3.2.6 pydicom==3.0.1 numpy==2.2.6
mkdir "$folder/data"
cd "$folder/data"
try() { "$folder/venv/bin/python" -c 'import pydicom.pixels; print("imported")' 2>&1 | tail -n 1 || true; }
before=$(try)
mkdir dl
after=$(try)
echo "python-gdcm 3.2.6, pydicom 3.0.1"
echo "without the folder: $before"
echo "with the folder: $after"
[ "$before" = "imported" ] && [ "$after" = "AttributeError: module 'dl' has no attribute 'RTLD_NOW'" ]
