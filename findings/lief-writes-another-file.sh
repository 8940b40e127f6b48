#!/usr/bin/env bash
# LIEF reads a signed module, changes nothing, and writes a different file: the string table and the references to it differ.
# The appended signature is kept as "overlay" and is invalid now. modinfo prints the signer as before.
#
# lief 0.15.1 (PyPI, with its wheel for CPython 3). Observed, for `lief.parse("in.ko").write("out.ko")`:
#
#   in.ko and out.ko have 3393 bytes each, 220 bytes differ, and both end with "~Module signature appended~"
#
# Why: LIEF's ELF builder regenerates the string table and the symbol table from what it parsed; it does not copy bytes.
# So for a file that is signed as a whole LIEF is for reading only.
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

python3 -m pip download -q --no-deps -d wheels lief==0.15.1 2>log ||
  { cat log >&2; echo "lief 0.15.1 can't be downloaded: nothing is known" >&2; exit 2; }
python3 -m pip install -q --no-index --no-deps --target lib wheels/*.whl 2>log || { cat log >&2; exit 2; }
cp "$modules/hello-4-signed.ko" in.ko
PYTHONPATH=lib python3 -c 'import lief; lief.parse("in.ko").write("out.ko")'

is_signed() { tail -c 28 "$1" | grep -qax '~Module signature appended~'; }
differing=$( (cmp -l in.ko out.ko || true) | wc -l)
echo "in.ko $(stat -c %s in.ko) bytes, out.ko $(stat -c %s out.ko) bytes, $differing bytes differ"
[ "$differing" -gt 0 ] || changed "it writes the same bytes"
is_signed out.ko || changed "it drops the signature"
