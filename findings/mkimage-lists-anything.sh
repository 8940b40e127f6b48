#!/usr/bin/env bash
# mkimage -l lists anything of some size as a TI "GP Header" image, with exit status 0: a kernel module, a text, a program.
# So its exit status does not tell whether a file is a U-Boot image, as its man page would let one think.
#
# u-boot-tools 2023.01+dfsg-2+deb12u3 (Debian 12). Observed:
#
#   $ mkimage -l hello-4.ko; echo $?
#   GP Header: Size 7f454c46 LoadAddr 2010100
#   0
#
# The "size" is the ELF magic. Why: without -T each image type's own check is asked in turn (tools/mkimage.c, -l), and that of
# gpimage takes any file whose two first 32-bit words are not 0 (tools/gpimage-common.c, gph_verify_header).
# Whoever looks for a uImage must compare its magic, 27 05 19 56, and its header's CRC.
set -euo pipefail
export LC_ALL=C
modules=$(realpath "$(dirname "$0")/../fixtures/modules")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"

unpack() { # a Debian package and its version, without installing it
  apt-get -qq download "$1=$2" 2>log || { cat log >&2; echo "$1 $2 can't be downloaded: nothing is known" >&2; exit 2; }
  dpkg-deb -x "$1"_*.deb root
}
changed() { echo "changed: $*" >&2; exit 1; }

unpack u-boot-tools 2023.01+dfsg-2+deb12u3
mkimage=root/usr/bin/mkimage
head -c 4096 /dev/zero >zeros
seq 1000 >text

for file in "$modules/hello-4.ko" text $mkimage; do
  status=0
  answer=$($mkimage -l "$file" 2>&1) || status=$?
  echo "mkimage -l ${file##*/}: $answer (exit $status)"
  [ "$status" -eq 0 ] && [[ $answer == "GP Header: Size "* ]] || changed "${file##*/} is none any more"
done
if $mkimage -l zeros >said 2>&1; then changed "zeros are an image: $(cat said)"; fi
