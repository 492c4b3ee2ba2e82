/** Every work that is measured: its name in the guest, its class, and what it exercises. */

export const CLASSES = {
  c: 'C suite',
  shell: 'shell and tools',
  kernel: 'kernel work',
};

const rows = (kind, entries) => Object.entries(entries).map(([name, what]) => ({ name, kind, what }));

export const WORKS = [
  ...rows('c', {
    sieve: 'byte loops and branches',
    matmul_int: '32-bit multiply and add, strided loads',
    fib: 'calls and returns',
    quicksort: 'branches that cannot be foreseen',
    memory_blocks: 'memcpy, memmove, memset of 16 bytes to 1 MiB',
    hash_map: 'loads that miss caches',
    crc32: 'dependent table look-ups',
    indirect_calls: 'function pointers',
    mix64: '64-bit multiply, carry, rotate, divide',
    matmul_double: 'packed doubles',
    nbody: 'scalar doubles, divide, square root',
    strings: 'strlen, strcmp, strchr, strstr, strncpy, memchr',
    byte_code: 'a switch in a loop',
  }),
  ...rows('shell', {
    shell_loop: 'busybox sh: arithmetic, patterns, 300 forks',
    sha256_24M: 'busybox cat and sha256sum',
    gzip_2M: 'busybox gzip',
    gunzip_4M: 'busybox zcat',
    bzip2_1M: 'busybox bzip2',
  }),
  ...rows('shell', {
    xz_512K: "Debian's xz",
    python3: "Debian's python3: primes, queens, accounts, Mandelbrot set, long integers",
    gcc_2000_lines: "Debian's gcc -c: cc1 and as",
    sqlite3_100k: "Debian's sqlite3: insert, index, join, update, delete",
  }).map((work) => ({ ...work, needsTools: true })),
  ...rows('kernel', {
    getppid: '300,000 system calls',
    fork_exit: '150 times fork, exit, wait',
    fork_exec: '80 times fork, exec, wait',
    pipe_ping_pong: '6,000 round trips between two processes',
    page_faults: 'first touch of 40,960 pages',
    mmap_munmap: '10,000 times map, touch, unmap',
    context_switches: '10,000 turns by sched_yield',
    signals: '40,000 signals to oneself',
    tmpfs_files: '3,000 times create, write, read, unlink',
  }),
];
