#!/bin/sh
# `RUSTC_WORKSPACE_WRAPPER`: compiles this workspace with the counters that libFuzzer reads, and all else as always, so
# that no dependency is built again. The options are those of cargo-fuzz, without the sanitizers: these need a nightly
# compiler, and find little in code without `unsafe`. Overflow checks and debug assertions stay on.
# A build script is a program of its own, which is linked without libFuzzer.
case " $* " in *" --crate-name build_script_build "*) exec "$@" ;; esac
exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Copt-level=1
