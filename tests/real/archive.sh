# shellcheck shell=bash
# How the scripts in this folder query a Debian archive. They source this file from the project's own folder.
#
# Nothing is installed and no package source of this machine is changed: apt gets its own folders, below target/real/.apt. The
# archive is the one that this machine's own sources name. Debian's mirrors drop old suites; a suite written as `archived:NAME`
# is requested from the mirror of archived suites that KMODLAB_ARCHIVED names (a URL), and from none if the variable is empty.

mkdir -p target/real
top=$(realpath target/real)

# The time limit for a download, in seconds (an update of package lists gets a third of it), and the delay before the next try.
# apt gives up a connection after 30 seconds without data; these limits also end a connection that is too slow.
seconds=${KMODLAB_FETCH_SECONDS:-600}
pause=${KMODLAB_FETCH_PAUSE:-5}

within() { timeout --kill-after=10 "$seconds" "$@"; }

retry() {
  local try
  for try in 1 2 3; do
    timeout --kill-after=10 $((seconds / 3)) "$@" && return 0
    echo "$0: try $try of 3 failed: ${*: -1}" >&2
    sleep $((try * pause))
  done
  return 1
}

# ask SUITES SECURITY-SUITE ARCH [STATUS-FILE]: creates folders for apt, and sets `options` to the options that each apt command
# needs to use them. SUITES are separated by commas; the security suite `-` means none. Without a status file no package counts
# as installed.
ask() {
  local suites=$1 secsuite=$2 arch=$3 one uris archive security signed
  local apt=$top/.apt/$suites-$arch status=${4:-}
  # The archive and its security part, as in this machine's own apt sources.
  uris=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages')
  archive=$(awk '$2 !~ /-/ && $2 != "nodistro" && /debian/ {print $1; exit}' <<<"$uris")
  security=$(awk '$2 ~ /-security$/ {print $1; exit}' <<<"$uris")
  [ -n "$archive" ] || { echo "$0: this machine's apt sources name no Debian archive (try: apt-get update)" >&2; exit 1; }
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  if [ -z "$status" ]; then
    status=$apt/status
    : >"$status"
  fi
  signed=signed-by=/usr/share/keyrings/debian-archive-keyring.gpg
  {
    for one in ${suites//,/ }; do
      # The Release files of archived suites have expired.
      case $one in
        archived:*)
          [ -z "${KMODLAB_ARCHIVED:-}" ] || echo "deb [$signed check-valid-until=no] $KMODLAB_ARCHIVED ${one#archived:} main"
          ;;
        *) echo "deb [$signed] $archive $one main" ;;
      esac
    done
    [ -z "$security" ] || [ "$secsuite" = - ] || echo "deb [$signed] $security $secsuite main"
  } >"$apt/sources.list"
  options=(
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferencesparts=/dev/null -o Dir::Etc::preferences=/dev/null
    -o "Dir::State::Lists=$apt/lists" -o "Dir::State::status=$status" -o "Dir::Cache=$apt/cache"
    -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::Retries=3 -o Acquire::By-Hash=force
    -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30
    # Without it, an update that failed because it had no connection counts as successful.
    -o APT::Update::Error-Mode=any
  )
}
