#!/bin/sh
# Run in place of a command: disturb.sh HOW COMMAND…
mode=$1
shift
case $mode in
    # It does nothing and says so.
    fails) echo "disturbed: failed" >&2; exit 1 ;;
    # It does nothing, and says something else.
    garbage) echo '<html>{'; exit 0 ;;
    # It does its work, and the answer is lost.
    lost) "$@" >/dev/null 2>&1; echo "connection reset by peer" >&2; exit 1 ;;
    # It never answers, until somebody presses Ctrl-C.
    hangs) kill -TERM "$PPID"; exec sleep 300 ;;
esac
