#!/usr/bin/env bash
# Debian's kmod is built without zlib. It does not say so of a module.ko.gz: modinfo claims that the file is not there, and
# depmod leaves it out of modules.dep without a word, exit status 0. The kernel's own MODULE_COMPRESS_GZIP makes such files.
#
# kmod 30+20221128-1 (Debian 12). Observed:
#
#   $ modinfo ./hello-4.ko.gz
#   modinfo: ERROR: Module ./hello-4.ko.gz not found.
#   $ depmod -b tree 6.1.0-1; cat tree/lib/modules/6.1.0-1/modules.dep
#   kernel/vendor.ko.xz:
#
# Why: without zlib the ending .ko.gz is not among those that kmod takes for a module's (kmod 30, libkmod/libkmod-file.c and
# shared/util.c), so the path is looked up as a module's name, and depmod passes the file over as it does any other file.
# `modinfo --version` shows it: it prints -ZLIB.
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

unpack kmod 30+20221128-1
unpack libkmod2 30+20221128-1
kmod=root/bin/kmod
export LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
ln -s kmod root/bin/modinfo
ln -s kmod root/bin/depmod
$kmod --version | grep -q -e -ZLIB || changed "it is built with zlib"

tree=tree/lib/modules/6.1.0-1
mkdir -p $tree/kernel
touch $tree/modules.order $tree/modules.builtin $tree/modules.builtin.modinfo
cp "$modules/hello-4.ko.gz" $tree/kernel/
xz --check=crc32 <"$modules/vendor.ko" >$tree/kernel/vendor.ko.xz

status=0
answer=$(root/bin/modinfo ./$tree/kernel/hello-4.ko.gz 2>&1) || status=$?
echo "modinfo: $answer (exit $status)"
[ "$status" -eq 1 ] && [[ $answer == *"hello-4.ko.gz not found." ]] || changed "modinfo says something else"
root/bin/depmod -b tree 6.1.0-1 2>said || changed "depmod fails"
echo "modules.dep: $(cat $tree/modules.dep)"
[ ! -s said ] || changed "depmod says: $(cat said)"
grep -q '^kernel/vendor.ko.xz:' $tree/modules.dep || changed "depmod does not list the .ko.xz"
! grep -q hello-4 $tree/modules.dep || changed "depmod lists the .ko.gz"
