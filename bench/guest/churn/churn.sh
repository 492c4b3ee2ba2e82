#!/bin/sh
# A workload that is never the same for long: code made at run time, new processes and programs, files, and in turn the
# works of the suite. Prints what suite.c prints for each part. Never ends.
cd /tmp
# The same files each time, so the same answer; written to other pages each time.
files() {
  mkdir tree
  for n in 0 1 2 3 4 5 6 7 8 9; do
    mkdir tree/$n
    for m in 0 1 2 3 4 5 6 7 8 9; do dd if=text of=tree/$n/$m bs=997 skip=$((n * 10 + m)) count=9 2> /dev/null; done
  done
  find tree -type f | sort | xargs cat | md5sum
  tar -cf tree.tar tree
  rm -r tree
  tar -tf tree.tar | wc -l
  rm tree.tar
}

# Another copy of busybox than last time, under another name (busybox knows names that begin with its own).
programs() {
  cp /bin/busybox "busybox$1"
  for applet in 'sort text' 'awk { n += length($1) } END { print n } text' 'sed -n s/a/bb/gp text' 'tr a-m n-z' 'wc text' \
    'sha256sum' 'uniq -c' 'xxd' 'grep -c ab text' 'expr 6 * 7'; do
    case $applet in
      awk*) ./busybox$1 awk '{ n += length($1) } END { print n }' text ;;
      expr*) ./busybox$1 expr 6 '*' 7 ;;
      *) ./busybox$1 $applet < text | md5sum ;;
    esac
  done
  rm -f "busybox$1"
}

case $1 in
  files | programs) "$@"; exit ;;
esac

# The guest's memory once written to, so that the host's process grows by nothing else afterwards.
mount -o remount,size=100% /tmp
dd if=/dev/zero of=fill bs=1M count=380 2> /dev/null
rm fill
suite --text > text
gzip -c text > text.gz
export BENCH_DATA=/tmp/text

part() {
  name=$1
  shift
  suite --time "$name" 1 "$@"
}

set -- sieve quicksort hash_map strings nbody byte_code fork_exit mmap_munmap signals tmpfs_files matmul_double mix64
round=0
while :; do
  round=$((round + 1))
  echo "ROUND $round"
  part churn churn $round
  part files sh /bench/churn.sh files
  part programs sh /bench/churn.sh programs $((round % 7))
  case $((round % 4)) in
    0) part sha256_24M sh /bench/work.sh sha256_24M ;;
    1) part gzip_2M sh /bench/work.sh gzip_2M ;;
    2) part gunzip_4M sh -c 'zcat /tmp/text.gz | md5sum' ;;
    3) part bzip2_1M sh /bench/work.sh bzip2_1M ;;
  esac
  # Another test each time round.
  suite "$1"
  first=$1
  shift
  set -- "$@" "$first"
done
