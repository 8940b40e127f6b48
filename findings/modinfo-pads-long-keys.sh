#!/usr/bin/env bash
# modinfo aligns values to column 16. A key that is too long for that is not followed by one space or none, as in other
# aligned output: it gets more spaces the longer it is. Who splits the output at columns, or compares listings of two
# versions of kmod, is misled: kmod 34 prints no space after such a key.
#
# kmod 30+20221128-1 (Debian 12). Observed, with a module that gcc made of three modinfo entries:
#
#   $ modinfo ./long.ko
#   fifteen_letters:1
#   seventeen_letters:  2
#   a_key_of_thirty_letters_exactly:                3
#
# Why: the width is computed as 15 minus the length of the key, and printf takes a negative width for "left-aligned in as many
# columns" (kmod 30, tools/modinfo.c, modinfo_do; printf(3)). So a key with N letters too many has N spaces after it.
set -euo pipefail
export LC_ALL=C
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
export LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
ln -s kmod root/bin/modinfo

printf '.section .modinfo,"a"\n.string "fifteen_letters=1"\n.string "seventeen_letters=2"\n%s\n' \
  '.string "a_key_of_thirty_letters_exactly=3"' >long.s
gcc -c long.s -o long.ko
root/bin/modinfo ./long.ko | tail -n +2 | tee listing
for key in fifteen_letters seventeen_letters a_key_of_thirty_letters_exactly; do
  spaces=$(sed -n "s/^$key:\( *\)[0-9]$/\1/p" listing)
  [ "${#spaces}" -eq $((${#key} - 15)) ] || changed "$key has ${#spaces} spaces after it"
done
