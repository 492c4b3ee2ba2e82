#!/bin/sh
# PID 1 of the measuring guest. On the kernel's command line:
#   bench.tests=NAME,…  tests of suite to run      bench.shell=NAME,…  tests of work.sh to run
#   bench.repeats=N     runs of each               bench.load=SECONDS  then a mixed load of that length
#   bench.tools=NAME,…  tests of tools.sh to run
#   bench.churn=1       a changing workload without end
# What the host reads are lines that begin with a word in capitals.
export PATH=/bin HOME=/root BENCH_DATA=/dev/shm/bench-data
echo INIT
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /tmp

tests= shell= repeats=1 load=0 churn= tools=
read -r cmdline < /proc/cmdline
for word in $cmdline; do
  case $word in
    bench.tests=*) tests=${word#*=} ;;
    bench.shell=*) shell=${word#*=} ;;
    bench.repeats=*) repeats=${word#*=} ;;
    bench.load=*) load=${word#*=} ;;
    bench.tools=*) tools=${word#*=} ;;
    bench.churn=*) churn=1 ;;
  esac
done

read -r clocksource < /sys/devices/system/clocksource/clocksource0/current_clocksource
echo "CLOCKSOURCE $clocksource"
[ -n "$churn" ] && sh /bench/churn.sh
IFS=,
[ -n "$tests" ] && suite -r "$repeats" $tests
if [ -n "$shell" ]; then
  sh /bench/work.sh prepare
  for test in $shell; do
    suite --time "$test" "$repeats" sh /bench/work.sh "$test"
  done
fi
if [ -n "$tools" ]; then
  mount -t tmpfs tmpfs /tools/tmp
  in_tools() {
    PATH=/usr/bin:/bin:/bench chroot /tools "$@"
  }
  in_tools sh /bench/tools.sh prepare
  for test in $tools; do
    in_tools suite --time "$test" "$repeats" sh /bench/tools.sh "$test"
  done
fi

if [ "$load" -gt 0 ]; then
  read -r end rest < /proc/uptime
  end=$((${end%%.*} + load))
  suite --clock
  while read -r now rest < /proc/uptime; [ "${now%%.*}" -lt "$end" ]; do
    suite quicksort nbody getppid fork_exit page_faults tmpfs_files > /dev/null
    sha256sum /bin/busybox > /dev/null
    suite --clock
    sleep 1
    suite --clock
  done
fi
echo DONE
poweroff -f
