#!/usr/bin/env bash
# highdicom 0.28.2 with pydicom 3.0.2: get_qualitative_evaluations() also returns the algorithm's family.
#
# One would guess: it returns the evaluations that were passed as qualitative_evaluations, and no more.
# Seen: a group with an AlgorithmIdentification that names a family (TID 4019) has one evaluation more, "Algorithm
# Family". It is told apart by its name (111000 DCM) only.
# What to do: ask for an evaluation by its name, or leave 111000 DCM out.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import highdicom as hd
from highdicom import sr
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

group = sr.MeasurementsAndQualitativeEvaluations(
    tracking_identifier=sr.TrackingIdentifier(uid=generate_uid(), identifier="finding"),
    finding_type=codes.SCT.PulmonaryEmbolism,
    algorithm_id=sr.AlgorithmIdentification(name="a", version="1", family=codes.DCM.ArtificialIntelligence),
    qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, codes.SCT.Present)],
)
found = [item.name.meaning for item in group.get_qualitative_evaluations()]
print(f"highdicom {hd.__version__}: one evaluation passed, returned {found}")
raise SystemExit(0 if found == ["Algorithm Family", "Presence of property"] else 1)
PY
