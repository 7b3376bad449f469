#!/usr/bin/env bash
# SimpleITK 2.5.2 rescales every frame of an enhanced CT by the rescale of the first one.
#
# One would guess: each frame by its own RescaleIntercept, which stands in its functional groups (DICOM PS3.3, C.7.6.16.2.9),
#   or an error or a warning where the reader can't do that.
# Behaviour: no error, no warning, and values that are off by the difference of the intercepts.
# Output seen: "made: 100 101 102 103", "read: 100 125 102 127".
#
# Needs python3.11 or later with venv, and a package index. Exits 1 if the behaviour is another one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check SimpleITK==2.5.2 pydicom==3.0.1 numpy==2.2.6
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import SimpleITK
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian


def item(**values):
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return Sequence([dataset])


def frame(number, intercept):
    return item(
        PlanePositionSequence=item(ImagePositionPatient=[0, 0, 3 * number]),
        PixelValueTransformationSequence=item(RescaleIntercept=intercept, RescaleSlope=1, RescaleType="HU"),
        FrameContentSequence=item(DimensionIndexValues=[number + 1]),
    )[0]


hu, intercepts = [100, 101, 102, 103], [-1000, -1024, -1000, -1024]
meta = FileMetaDataset()
meta.TransferSyntaxUID = ExplicitVRLittleEndian
meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = EnhancedCTImageStorage, "1.2.3.4.1"
image = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
image.SOPClassUID, image.SOPInstanceUID, image.Modality = EnhancedCTImageStorage, "1.2.3.4.1", "CT"
image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3", "1.2.3.4", "1.2.3.5"
image.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
image.Rows = image.Columns = 16
image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
image.NumberOfFrames = len(hu)
image.SharedFunctionalGroupsSequence = item(
    PixelMeasuresSequence=item(PixelSpacing=[2, 2], SliceThickness=3),
    PlaneOrientationSequence=item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
)
image.PerFrameFunctionalGroupsSequence = Sequence([frame(*one) for one in enumerate(intercepts)])
image.PixelData = b"".join(
    np.full((16, 16), value - intercept, np.uint16).tobytes() for value, intercept in zip(hu, intercepts)
)
image.save_as("enhanced.dcm", enforce_file_format=True)

found = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage("enhanced.dcm"))[:, 0, 0].tolist()
print("SimpleITK", SimpleITK.Version.VersionString())
print("made:", *hu)
print("read:", *found)
sys.exit(0 if found == [100, 125, 102, 127] else 1)
PYTHON
