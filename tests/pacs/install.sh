#!/bin/bash
# Installs Debian's Orthanc, dcmtk, dicom3tools and PixelMed that are missing, and starts none: the tests start their own.
set -euo pipefail

missing=()
command -v dsrdump > /dev/null && command -v dcmpschk > /dev/null || missing+=(dcmtk)
command -v dcentvfy > /dev/null || missing+=(dicom3tools)
command -v DicomSRValidator > /dev/null || missing+=(pixelmed-apps libpixelmed-java)
[ -x /usr/sbin/Orthanc ] || missing+=(orthanc)
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing+=(orthanc-dicomweb)
[ -e /usr/share/orthanc/plugins/libOrthancGdcm.so ] || missing+=(orthanc-gdcm)
[ ${#missing[@]} -gt 0 ] || exit 0
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then  # 101: no daemon is started by its installation
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" > /dev/null
    "${as_root[@]}" chmod 755 "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
