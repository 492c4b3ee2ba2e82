#!/bin/sh
# Work of busybox, one test by name: work.sh NAME. Its output is the answer that machines are compared by.
# $BENCH_DATA names the file of 4 MB that `suite --text` made. Runs in the guest and, with busybox's applets first on
# PATH, on the host.

# Arithmetic, patterns, strings, calls of a function; a process of its own every hundredth time round.
shell_loop() {
  total=0 i=0 text=
  while [ $i -lt 30000 ]; do
    i=$((i + 1))
    case $i in
      *00) text=$(expr $i % 7)$text ;;
      *7) add $i ;;
      *) total=$(((total * 31 + i) % 1000003)) ;;
    esac
  done
  echo "$total $text"
}
add() {
  total=$(((total + $1) % 1000003))
}

case $1 in
  shell_loop) shell_loop ;;
  sha256_24M) cat $BENCH_DATA $BENCH_DATA $BENCH_DATA $BENCH_DATA $BENCH_DATA $BENCH_DATA | sha256sum ;;
  gzip_2M) head -c 2097152 $BENCH_DATA | gzip -c | md5sum ;;
  gunzip_4M) zcat $BENCH_DATA.gz | md5sum ;;
  bzip2_1M) head -c 1048576 $BENCH_DATA | bzip2 -c | md5sum ;;
  prepare) suite --text > $BENCH_DATA && gzip -c $BENCH_DATA > $BENCH_DATA.gz ;;
  *) exit 2 ;;
esac
