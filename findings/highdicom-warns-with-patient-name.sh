#!/usr/bin/env bash
# highdicom 0.28.2 with pydicom 3.0.2: a warning prints the patient's name.
#
# One would guess: a log of a program that writes DICOM holds no patient's name unless the program puts it there.
# Seen: PatientName without "^" (valid: it has a family name alone, PS3.5 6.2) leads to a UserWarning whose text is the
# name. It goes to stderr, and from there into the logs of whatever runs the program.
# What to do: build objects from headers without a patient, and set the name in the finished object; or filter it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - 2> "$folder/stderr" <<'PY'
import highdicom as hd
import numpy as np
from pydicom.uid import generate_uid

hd.sc.SCImage(
    pixel_array=np.zeros((8, 8), np.uint8),
    photometric_interpretation="MONOCHROME2",
    bits_allocated=8,
    coordinate_system="PATIENT",
    patient_orientation=("L", "P"),
    patient_name="Madeupname",
    study_instance_uid=generate_uid(),
    series_instance_uid=generate_uid(),
    series_number=1,
    sop_instance_uid=generate_uid(),
    instance_number=1,
    manufacturer="made up",
)
print("highdicom", hd.__version__)
PY
echo "stderr:"
cat "$folder/stderr"
grep -q Madeupname "$folder/stderr"
