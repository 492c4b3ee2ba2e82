// Executes single instructions on this processor and reports what became of the registers and memory.
//
// Everything happens in the signal handler: each instruction is followed by INT3s, so it ends in a signal whose frame
// holds the state after it; the handler writes that out, reads the next request, and changes the frame so that returning
// from the signal enters the next instruction. Requests and answers are fixed-size records on standard input and output.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define CODE 0x24000000ul
#define DATA 0x10000000ul
#define DATA_SIZE 0x2000ul
#define WINDOW 0x10000f80ul
#define WINDOW_SIZE 256

struct request {
  uint64_t gpr[16]; // in encoding order
  uint64_t flags;
  uint64_t bits; // 64 or 32
  uint8_t code[16];
  uint8_t xmm[16][16];
  uint8_t window[WINDOW_SIZE];
};
struct answer {
  uint64_t gpr[16];
  uint64_t flags;
  uint64_t rip; // relative to the code
  uint64_t trap;
  uint64_t error;
  uint64_t cr2;
  uint8_t xmm[16][16];
  uint8_t window[WINDOW_SIZE];
};

static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                              REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void all(int fd, void *at, size_t size, int writing) {
  char *p = at;
  while (size > 0) {
    ssize_t n = writing ? write(fd, p, size) : read(fd, p, size);
    if (n <= 0) _exit(writing ? 1 : 0);
    p += n;
    size -= n;
  }
}

static int started;

static void handler(int signal, siginfo_t *info, void *context) {
  (void)signal;
  (void)info;
  ucontext_t *uc = context;
  greg_t *g = uc->uc_mcontext.gregs;
  struct _libc_fpstate *fp = uc->uc_mcontext.fpregs;
  if (started) {
    struct answer a;
    memset(&a, 0, sizeof a);
    for (int n = 0; n < 16; n++) a.gpr[n] = g[order[n]];
    a.flags = g[REG_EFL];
    a.rip = (uint64_t)g[REG_RIP] - CODE;
    a.trap = g[REG_TRAPNO];
    a.error = g[REG_ERR];
    a.cr2 = g[REG_CR2];
    memcpy(a.xmm, fp->_xmm, sizeof a.xmm);
    memcpy(a.window, (void *)WINDOW, WINDOW_SIZE);
    all(1, &a, sizeof a, 1);
  }
  started = 1;
  struct request r;
  all(0, &r, sizeof r, 0);
  memset((void *)CODE, 0xcc, 8192);
  memcpy((void *)(CODE + 1024), r.code, 16);
  memset((void *)DATA, 0, DATA_SIZE);
  memcpy((void *)WINDOW, r.window, WINDOW_SIZE);
  for (int n = 0; n < 16; n++) g[order[n]] = r.gpr[n];
  g[REG_EFL] = r.flags;
  g[REG_RIP] = CODE + 1024;
  uint64_t selectors = g[REG_CSGSFS];
  g[REG_CSGSFS] = (selectors & ~0xfffful) | (r.bits == 32 ? 0x23 : 0x33);
  memcpy(fp->_xmm, r.xmm, sizeof r.xmm);
  fp->mxcsr = 0x1f80;
}

static void *at(unsigned long address, unsigned long size, int protection) {
  void *p = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (p == MAP_FAILED) exit(3);
  return p;
}

int main(void) {
  at(CODE, 8192, PROT_READ | PROT_WRITE | PROT_EXEC);
  at(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
  stack_t stack = {.ss_sp = at(0x30000000ul, 1 << 20, PROT_READ | PROT_WRITE), .ss_size = 1 << 20};
  sigaltstack(&stack, NULL);
  struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
  int signals[] = {SIGTRAP, SIGSEGV, SIGFPE, SIGILL, SIGBUS};
  for (int n = 0; n < 5; n++) sigaction(signals[n], &action, NULL);
  // 32-bit code needs data segments; 64-bit processes start with null ones.
  __asm__ volatile("mov %0, %%ds; mov %0, %%es" : : "r"(0x2b));
  raise(SIGTRAP);
  return 0;
}
