#!/usr/bin/env bash
# highdicom 0.28.2 with pydicom 3.0.2: ParametricMap stores frames in an order of its own.
#
# One would guess: frame k of pixel_array is frame k of the file, as source_images and pixel_array are given in step.
# Seen: slices given from feet to head are stored from head to feet. Positions and pixels are moved together, so the
# object is right, but pixel_array of the file, read without its positions, is upside down.
# What to do: match frames by PlanePositionSequence or by SourceImageSequence, never by their number.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, generate_uid

study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()


def ct_slice(z):
    ct = Dataset()
    ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, generate_uid()
    ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.FrameOfReferenceUID = study, series, frame_of_reference
    ct.Modality, ct.Rows, ct.Columns = "CT", 16, 16
    ct.ImagePositionPatient, ct.ImageOrientationPatient = [0, 0, z], [1, 0, 0, 0, 1, 0]
    ct.PixelSpacing, ct.SliceThickness = [1, 1], 5
    ct.PatientName, ct.PatientID, ct.PatientBirthDate, ct.PatientSex = "Made^Up", "1", "", ""
    ct.StudyDate, ct.StudyTime, ct.StudyID, ct.AccessionNumber, ct.ReferringPhysicianName = "", "", "", "", ""
    return ct


given = [0, 5, 10]
mapping = hd.pm.RealWorldValueMapping(
    lut_label="1", lut_explanation="value", unit=codes.UCUM.NoUnits, value_range=(0, 65535), slope=1, intercept=0
)
image = hd.pm.ParametricMap(
    source_images=[ct_slice(z) for z in given],
    pixel_array=np.stack([np.full((16, 16), z, np.uint16) for z in given]),  # each slice holds its own z
    series_instance_uid=generate_uid(),
    series_number=2,
    sop_instance_uid=generate_uid(),
    instance_number=1,
    manufacturer="made up",
    manufacturer_model_name="made up",
    software_versions="1",
    device_serial_number="1",
    contains_recognizable_visual_features=False,
    real_world_value_mappings=[mapping],
    voi_lut_transformations=[hd.VOILUTTransformation(window_center=5, window_width=10)],
)
positions = [
    int(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in image.PerFrameFunctionalGroupsSequence
]
pixels = [int(frame[0, 0]) for frame in image.pixel_array]
print(f"highdicom {hd.__version__}: z given {given}, z of the stored frames {positions}, their pixels {pixels}")
raise SystemExit(0 if positions == pixels == given[::-1] else 1)
PY
