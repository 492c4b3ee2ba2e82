// Asks the host's processor how it decodes byte strings: each is executed, one byte more at a time, at the end of a page
// whose successor is not mapped. As long as the fetch faults there, the instruction is longer.
// Build with -fno-stack-protector -Wl,-z,now: while samples run there is no thread-local storage.
// stdin: records of 16 bytes, code size (64, 32 or 16) and 15 instruction bytes.
// stdout: records of 2 bytes, length and the exception's vector (1 where it executed, 0xff where it was skipped).
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define PAGE 0x10000000UL
#define PAGE_END (PAGE + 0x1000)
#define PAGE_FAULT 14
#define FETCH 16
#define TRAP_FLAG 0x100

static uint8_t (*records)[16];
static uint8_t (*results)[2];
static size_t count, current;
static int length;
static uint8_t *writable;
static ucontext_t original;
static int started;
/* The sample at the last alarm: one that outlives two alarms hangs (a system call that waits) and is skipped. */
static size_t alarmed = (size_t)-1;
static struct _libc_fpstate saved_fp;

static void load(ucontext_t *uc) {
  const uint8_t *record = records[current];
  const int mode = record[0];
  memcpy(writable + 0x1000 - length, record + 1, length);
  greg_t *regs = uc->uc_mcontext.gregs;
  for (int i = REG_R8; i <= REG_RSP; i++) regs[i] = 0;
  regs[REG_EFL] = 0x202 | TRAP_FLAG;
  regs[REG_RIP] = (mode == 16 ? 0x1000 : PAGE_END) - length;
  const uint64_t cs = mode == 64 ? 0x33 : mode == 32 ? 0x23 : 0x07;
  regs[REG_CSGSFS] = cs | (0x2bULL << 48);
  *uc->uc_mcontext.fpregs = saved_fp;
}

static void on_signal(int signal, siginfo_t *info, void *context) {
  (void)info;
  ucontext_t *uc = context;
  greg_t *regs = uc->uc_mcontext.gregs;
  if (!started) {
    started = 1;
    original = *uc;
    saved_fp = *uc->uc_mcontext.fpregs;
    length = 1;
    load(uc);
    return;
  }
  if (signal == SIGALRM && alarmed != current) {
    alarmed = current;
    return;
  }
  const int vector = signal == SIGALRM ? 0xff : regs[REG_TRAPNO];
  const int fetch = signal == SIGSEGV && vector == PAGE_FAULT && (regs[REG_ERR] & FETCH) &&
                    (uint64_t)regs[REG_CR2] == PAGE_END;
  if (fetch && length < 15) {
    length++;
  } else {
    results[current][0] = length;
    results[current][1] = fetch ? 0xfe : vector;
    current++;
    length = 1;
  }
  if (current < count) {
    load(uc);
    return;
  }
  memcpy(regs, original.uc_mcontext.gregs, sizeof(original.uc_mcontext.gregs));
  regs[REG_RIP] += 2;
}

int main(void) {
  size_t capacity = 1 << 20;
  records = malloc(capacity * 16);
  size_t got;
  while ((got = fread(records[count], 16, capacity - count, stdin)) > 0) {
    count += got;
    if (count == capacity) records = realloc(records, (capacity *= 2) * 16);
  }
  if (count == 0) return 0;
  results = calloc(count, 2);

  const int fd = memfd_create("code", 0);
  if (ftruncate(fd, 0x1000) != 0) return 1;
  writable = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mmap((void *)PAGE, 0x1000, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) return 1;
  // Bytes 1 to 15 of a record are written before each attempt; what precedes them is never executed.
  struct user_desc code16 = {.entry_number = 0, .base_addr = PAGE, .limit = 0x1fff, .contents = 2};
  if (syscall(SYS_modify_ldt, 1, &code16, sizeof code16) != 0) perror("modify_ldt");

  stack_t stack = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  const int signals[] = {SIGILL, SIGSEGV, SIGTRAP, SIGFPE, SIGBUS, SIGALRM};
  for (int i = 0; i < 6; i++) sigaction(signals[i], &action, NULL);
  const struct itimerval tick = {.it_interval = {.tv_usec = 100000}, .it_value = {.tv_usec = 100000}};
  setitimer(ITIMER_REAL, &tick, NULL);

  unsigned long fs_base;
  syscall(SYS_arch_prctl, 0x1003, &fs_base);
  // A sample must not reach this thread's own data through FS.
  syscall(SYS_arch_prctl, 0x1002, 0);
  __asm__ volatile("ud2" ::: "memory");
  syscall(SYS_arch_prctl, 0x1002, fs_base);
  setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
  fwrite(results, 2, count, stdout);
  return 0;
}
