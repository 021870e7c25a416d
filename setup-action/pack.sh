#!/usr/bin/env bash
# Builds the program and the tools it runs, and packs them as `install.sh` downloads them. Run in the root of a checkout.
#
# Usage: pack.sh TARGET RUST_TARGET FOLDER
set -euo pipefail

target=$1 rust=$2 folder=$3
version=$(cat "$(dirname "$0")/version")
program=target/$rust/release/cargo-xtask
# A download of each job, and the start of each command.
largest_bytes=$((25 * 1024 * 1024))
longest_start_ms=15

rustup target add "$rust"
cargo build --release --locked --package xtask --bin cargo-xtask --target "$rust"
size=$(wc -c < "$program")
if [ "$size" -gt "$largest_bytes" ]; then
  echo "::error::$program has $size bytes, more than $largest_bytes"
  exit 1
fi

# Processor time, of the quickest of some starts: what a busy machine adds is not the program's.
least_ms=$(python3 -c '
import resource, subprocess, sys
def used():
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (of_children.ru_utime + of_children.ru_stime) * 1000
def start():
    before = used()
    subprocess.run([sys.argv[1], "xtask", "--help"], check=True, stdout=subprocess.DEVNULL)
    return used() - before
print(round(min(start() for _ in range(10))))' "$program")
echo "$program: $size bytes, starts within $least_ms ms"
if [ "$least_ms" -gt "$longest_start_ms" ]; then
  echo "::error::$program takes $least_ms ms to start, more than $longest_start_ms"
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pack() {
  tar -czf "$folder/$1-$version-$target.tar.gz" -C "$work/$1" "${@:2}"
}
copy_tools() {
  local to=$1 path
  shift
  "$program" xtask tools --paths "$@" > "$work/paths"
  while IFS= read -r path; do
    for tool in "$@"; do
      if [ -x "$path/$tool" ]; then cp "$path/$tool" "$to"; fi
    done
  done < "$work/paths"
}

mkdir -p "$folder" "$work/cargo-xtask/bin" "$work/mongodb-server/bin"
cp "$program" "$work/cargo-xtask/bin/cargo-xtask"
ln -s cargo-xtask "$work/cargo-xtask/bin/xtask"
copy_tools "$work/cargo-xtask/bin" mongodump mongorestore age age-keygen
# The version that the adapter was tried with.
cargo install railwayapp --version 5.71.0 --locked --root "$work/railway"
cp "$work/railway/bin/railway" "$work/cargo-xtask/bin"
pack cargo-xtask bin

"$program" xtask tools --paths mongodb-server > "$work/paths"
while IFS= read -r path; do
  for tool in mongod secantusd-rs; do
    if [ -x "$path/$tool" ]; then cp "$path/$tool" "$work/mongodb-server/bin"; fi
  done
done < "$work/paths"
pack mongodb-server bin

# The version that the adapter was tried with, and all below it, by the hashes of the lock file; no package runs a script. A rollback
# does not wait for the registry.
mkdir -p "$work/vercel/bin" "$work/vercel/lib"
cp infrastructure/tools/vercel/package.json infrastructure/tools/vercel/package-lock.json "$work/vercel/lib"
npm ci --ignore-scripts --no-fund --no-audit --prefix "$work/vercel/lib"
ln -s ../lib/node_modules/.bin/vercel "$work/vercel/bin/vercel"
pack vercel bin lib
