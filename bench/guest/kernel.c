/* Work that the guest's kernel does: system calls, processes, faults, files. Counts are checksums. */
#define _GNU_SOURCE
#include "suite.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t getppid_calls(void) {
  uint64_t same = 0;
  long parent = syscall(SYS_getppid);
  for (int i = 0; i < 300000; i++) same += syscall(SYS_getppid) == parent;
  return same;
}

static int wait_for(pid_t child) {
  int status;
  if (child < 0) fail("fork");
  if (waitpid(child, &status, 0) != child) fail("waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256;
}

static uint64_t fork_exit(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 150; i++) {
    pid_t child = fork();
    if (child == 0) _exit(i & 63);
    sum += (uint64_t)wait_for(child);
  }
  return sum;
}

/* fork and exec of this program, which ends at once with status 7. */
static uint64_t fork_exec(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 80; i++) {
    pid_t child = fork();
    if (child == 0) {
      char *arguments[] = {"suite", "--exit", NULL};
      execv("/proc/self/exe", arguments);
      _exit(99);
    }
    sum += (uint64_t)wait_for(child);
  }
  return sum;
}

static void make_pipe(int ends[2]) {
  if (pipe(ends)) fail("pipe");
}

/* A byte to a child process and back through two pipes. */
static uint64_t pipe_ping_pong(void) {
  int there[2], back[2];
  uint64_t sum = 0;
  make_pipe(there);
  make_pipe(back);
  pid_t child = fork();
  if (child == 0) {
    unsigned char byte;
    close(there[1]);
    while (read(there[0], &byte, 1) == 1) {
      byte++;
      if (write(back[1], &byte, 1) != 1) _exit(1);
    }
    _exit(0);
  }
  close(there[0]);
  close(back[1]);
  for (int i = 0; i < 6000; i++) {
    unsigned char byte = (unsigned char)i;
    if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) fail("pipe_ping_pong");
    sum = fold(sum, byte);
  }
  close(there[1]);
  close(back[0]);
  return sum + (uint64_t)wait_for(child);
}

/* First touch of 40,000 anonymous pages, in mappings of 16 MiB. */
static uint64_t page_faults(void) {
  enum { SIZE = 16 << 20 };
  uint64_t sum = 0;
  for (int round = 0; round < 10; round++) {
    unsigned char *p = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) fail("mmap");
    madvise(p, SIZE, MADV_NOHUGEPAGE);
    for (size_t i = 0; i < SIZE; i += 4096) {
      sum += p[i];
      p[i] = (unsigned char)(i >> 12);
    }
    for (size_t i = 0; i < SIZE; i += 4096) sum += p[i];
    munmap(p, SIZE);
  }
  return sum;
}

/* Map one page, write it, unmap it. */
static uint64_t mmap_munmap(void) {
  uint64_t sum = 0;
  for (int i = 0; i < 10000; i++) {
    unsigned char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) fail("mmap");
    *p = (unsigned char)i;
    sum += *p;
    munmap(p, 4096);
  }
  return sum;
}

/* Two processes on one processor give way to each other with sched_yield; page shared to count the turns. */
static uint64_t context_switches(void) {
  enum { TURNS = 10000 };
  volatile uint32_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) fail("mmap");
  cpu_set_t before, one;
  sched_getaffinity(0, sizeof before, &before);
  CPU_ZERO(&one);
  CPU_SET(0, &one);
  sched_setaffinity(0, sizeof one, &one);
  pid_t child = fork();
  uint32_t mine = child == 0;
  while (shared[0] < TURNS) {
    if ((shared[0] & 1) == mine) shared[0]++;
    sched_yield();
  }
  if (child == 0) _exit(5);
  uint64_t sum = shared[0] + (uint64_t)wait_for(child);
  sched_setaffinity(0, sizeof before, &before);
  munmap((void *)shared, 4096);
  return sum;
}

static volatile uint64_t caught;
static void catch_signal(int number) { caught += (uint64_t)number; }

/* A signal to oneself, its handler, and the return from it. */
static uint64_t signals(void) {
  struct sigaction action = {.sa_handler = catch_signal};
  caught = 0;
  if (sigaction(SIGUSR1, &action, NULL)) fail("sigaction");
  for (int i = 0; i < 40000; i++) raise(SIGUSR1);
  return caught;
}

/* Create, write, read back, and unlink small files on tmpfs (/dev/shm where there is one, else /tmp). */
static uint64_t tmpfs_files(void) {
  uint64_t sum = 0;
  const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  static char block[8192];
  for (int i = 0; i < 3000; i++) {
    char name[64];
    snprintf(name, sizeof name, "%s/suite-%d-%d", folder, (int)getpid(), i);
    int file = open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0) fail(name);
    memset(block, i & 255, sizeof block);
    if (write(file, block, sizeof block) != (ssize_t)sizeof block) fail("write");
    struct stat status;
    if (pread(file, block, 100, 4000) != 100 || fstat(file, &status)) fail("pread");
    sum = fold(sum, (uint64_t)status.st_size + (unsigned char)block[50]);
    close(file);
    if (unlink(name)) fail("unlink");
  }
  return sum;
}

const Test kernel_tests[] = {{"getppid", getppid_calls},
                             {"fork_exit", fork_exit},
                             {"fork_exec", fork_exec},
                             {"pipe_ping_pong", pipe_ping_pong},
                             {"page_faults", page_faults},
                             {"mmap_munmap", mmap_munmap},
                             {"context_switches", context_switches},
                             {"signals", signals},
                             {"tmpfs_files", tmpfs_files},
                             {0, 0}};
