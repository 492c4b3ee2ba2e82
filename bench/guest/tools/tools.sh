#!/bin/sh
# Work of Debian's own programs, one test by name: tools.sh NAME. Its output is the answer that machines are compared by.
# Runs in a chroot of their root file system, in the guest and on the host; busybox's applets are last on PATH.
export PYTHONHASHSEED=0 LC_ALL=C
cd /tmp
case $1 in
  xz_512K) head -c 524288 data | xz -c | md5sum ;;
  python3) python3 -B -S /bench/compute.py ;;
  gcc_2000_lines) gcc -c -o program.o /bench/program.c && md5sum < program.o && rm program.o ;;
  sqlite3_100k) sqlite3 rows.db < /bench/rows.sql && md5sum < rows.db && rm rows.db ;;
  prepare) suite --text > data ;;
  *) exit 2 ;;
esac
