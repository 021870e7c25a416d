#!/usr/bin/env bash
# Downloads the archives of the version beside this file and puts what they hold on PATH. What the checksums beside this
# file do not name is not unpacked. A runner of your own keeps the archives: its next job downloads nothing.
#
# Environment: DOWNLOADS (address of the releases), PLATFORMS and SERVER (`true` or not), RUNNER_TEMP, RUNNER_TOOL_CACHE and
# GITHUB_PATH (of the job).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=$(cat "$here/version")
folder=$RUNNER_TEMP/cargo-xtask
kept=${RUNNER_TOOL_CACHE:-$RUNNER_TEMP/tool-cache}/cargo-xtask

fail() {
  echo "::error::setup-action: $1"
  exit 1
}

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) target=x86_64-linux ;;
  Linux-aarch64 | Linux-arm64) target=aarch64-linux ;;
  Darwin-arm64) target=aarch64-macos ;;
  Darwin-x86_64) target=x86_64-macos ;;
  *) fail "there is no build for $(uname -s) on $(uname -m)" ;;
esac

sha256() {
  if command -v sha256sum > /dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d ' ' -f 1
}

install() {
  local file=$1-$version-$target.tar.gz wanted found
  wanted=$(awk -v file="$file" '$2 == file { print $1 }' "$here/checksums")
  [ -n "$wanted" ] || fail "this commit has no checksum of $file: use the action by a commit that has those of a release"
  # Compared as a copy of its own: other jobs can write where it is kept.
  if ! cp "$kept/$file" "$folder/$file" 2> /dev/null || [ "$(sha256 "$folder/$file")" != "$wanted" ]; then
    curl --fail --silent --show-error --location --retry 3 --max-time 300 --output "$folder/$file" "$DOWNLOADS/v$version/$file" \
      || fail "cannot download $DOWNLOADS/v$version/$file"
    found=$(sha256 "$folder/$file")
    [ "$found" = "$wanted" ] || fail "$file has the checksum $found, not $wanted"
    if ! { mkdir -p "$kept" && cp "$folder/$file" "$kept/$file.$$" && mv "$kept/$file.$$" "$kept/$file"; }; then
      echo "setup-action: $kept takes no files: the next job downloads $file again"
    fi
  fi
  tar -xzf "$folder/$file" -C "$folder"
  rm "$folder/$file"
}

mkdir -p "$folder"
install cargo-xtask
if [ "${SERVER:-}" = true ]; then install mongodb-server; fi
# A runner of your own may have it already.
if [ "${PLATFORMS:-}" = true ] && ! command -v vercel; then install vercel; fi
echo "$folder/bin" >> "$GITHUB_PATH"
