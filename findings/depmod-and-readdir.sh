#!/usr/bin/env bash
# Of two modules with one name in folders that depmod's search order does not name, the one in the folder that readdir(3)
# returns first wins. On tmpfs that is the folder that was made last; so the same tree, copied in another order, loads another
# module. `extra`, where out-of-tree modules are often installed, is such a folder: without a depmod.d the order names only
# `updates`. depmod prints nothing and exits with 0.
#
# kmod 30+20221128-1 (Debian 12), on tmpfs. Observed:
#
#   made kernel, then extra:  extra/hello-4.ko:
#   made extra, then kernel:  kernel/hello-4.ko:
#
# Why: tools/depmod.c (kmod 30): depmod_modules_search_dir() takes files in the order of readdir, and by
# depmod_module_is_higher_priority() the earlier one stays unless the later one's folder has a higher place in the search
# order; two folders outside of it are equal. tmpfs returns the newest name first. ext4 returns names in the order of their
# hashes with the file system's own seed, so there the order of making does not matter, but the machine does.
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
export LD_LIBRARY_PATH=$work/root/lib/x86_64-linux-gnu:$work/root/usr/lib/x86_64-linux-gnu
ln -s kmod root/bin/depmod
depmod=$work/root/bin/depmod
mkdir empty

shm=$(mktemp -d /dev/shm/finding.XXXXXX)
trap 'rm -rf "$work" "$shm"' EXIT
[ "$(stat -f -c %T "$shm")" = tmpfs ] || { echo "/dev/shm is no tmpfs: nothing is known" >&2; exit 2; }

winner() { # the folders, in the order in which they are made
  local tree=$shm/$1-$2/lib/modules/6.1.0-1 folder
  mkdir -p "$tree"
  touch "$tree"/modules.{order,builtin,builtin.modinfo}
  for folder in "$@"; do
    mkdir "$tree/$folder"
    cp "$modules/hello-4.ko" "$tree/$folder/"
  done
  # -C: without what this machine's own depmod.d says.
  "$depmod" -C "$work/empty" -b "$shm/$1-$2" 6.1.0-1 2>"$work/said" || changed "depmod fails"
  [ ! -s "$work/said" ] || changed "depmod says: $(cat "$work/said")"
  cut -d/ -f1 "$tree/modules.dep"
}
for made in "kernel extra" "extra kernel" "updates kernel" "kernel updates"; do
  won=$(winner $made)
  echo "made $made: $won/hello-4.ko"
  case "$made" in
    *updates*) [ "$won" = updates ] || changed "updates does not win" ;;
    *) [ "$won" = "${made##* }" ] || changed "the order of making does not decide" ;;
  esac
done
