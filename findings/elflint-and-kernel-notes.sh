#!/usr/bin/env bash
# eu-elflint accepts no module that a kernel's build makes today: it does not know the two note types in the section
# .note.Linux, the build salt (0x100, Linux 4.19 on) and the LTO flag (0x101), which every such module carries. So its exit
# status 1 says nothing about a module.
#
# elfutils 0.188-2.1 (Debian 12). Observed, on these two notes and on each module of Debian's 6.1 that was tried:
#
#   section [ 2] '.note.Linux': unknown object file note type 257 with owner name 'Linux' at offset 24
#   section [ 2] '.note.Linux': unknown object file note type 256 with owner name 'Linux' at offset 60
#
# Why: in an object file src/elflint.c of elfutils (check_note_data) knows the notes of a few owners, and Linux is none of
# them. The types come from include/linux/build-salt.h and include/linux/elfnote-lto.h; in Linux 6.1 scripts/mod/modpost.c
# puts both into each module's .mod.c.
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

unpack elfutils 0.188-2.1
unpack libelf1 0.188-2.1
unpack libdw1 0.188-2.1
unpack libasm1 0.188-2.1
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu
lint=root/usr/bin/eu-elflint

# The two notes as the kernel's ELFNOTE macros write them (include/linux/elfnote.h), without and with the module around them.
cat >notes.s <<'ASM'
.pushsection .note.Linux, "a", @note
.balign 4; .long 6, 4, 0x101; .asciz "Linux"; .balign 4; .long 0
.balign 4; .long 6, 1, 0x100; .asciz "Linux"; .balign 4; .byte 0; .balign 4
.popsection
ASM
as -o notes.o notes.s
ld -r -o with.ko "$modules/hello-4.ko" notes.o

$lint "$modules/hello-4.ko" >without || changed "it does not accept the module without the notes: $(cat without)"
status=0
$lint with.ko >said 2>&1 || status=$?
cat said
[ "$status" -eq 1 ] || changed "it ends with $status"
for type in 256 257; do
  grep -q "'.note.Linux': unknown object file note type $type with owner name 'Linux'" said || changed "type $type is known"
done
