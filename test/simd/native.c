// Runs instructions natively: cases on stdin, results on stdout.
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

struct testcase {
  uint8_t code[16];
  uint32_t length;
  uint32_t bits;
  uint64_t gpr[16];
  uint64_t rflags;
  uint8_t fx[512];
  uint8_t memory[256];
};
struct result {
  uint64_t gpr[16];
  uint64_t rflags;
  uint64_t signal;
  uint8_t fx[512];
  uint8_t memory[256];
};

#define CODE 0x10000000ul
#define DATA 0x10010000ul
#define CONTROL 0x10020000ul
#define STACK 0x10030000ul
// control page: 0 gpr in[16], 128 rflags in, 136 saved rsp, 144 exit address, 256 gpr out[16], 384 rflags out, 512 fx in, 1024 fx out

extern void enter(void);
extern void leave_(void);
__asm__(
  ".text\n.globl enter\nenter:\n"
  "push rbx\npush rbp\npush r12\npush r13\npush r14\npush r15\n"
  "mov r15d, 0x10020000\n"
  // Compatibility mode needs data segments.
  "mov eax, 0x2b\nmov ds, eax\nmov es, eax\n"
  "mov [r15+136], rsp\n"
  "fxrstor64 [r15+512]\n"
  "mov esp, 0x10038000\n"
  "mov rax,[r15]\nmov rcx,[r15+8]\nmov rdx,[r15+16]\nmov rbx,[r15+24]\n"
  "mov rbp,[r15+40]\nmov rsi,[r15+48]\nmov rdi,[r15+56]\nmov r8,[r15+64]\nmov r9,[r15+72]\nmov r10,[r15+80]\n"
  "mov r11,[r15+88]\nmov r12,[r15+96]\nmov r13,[r15+104]\nmov r14,[r15+112]\nmov r15,[r15+120]\n"
  "cmp dword ptr [0x10020000+172], 32\n"
  "je 1f\n"
  "push qword ptr [0x10020000+128]\npopfq\n"
  "jmp [0x10020000+152]\n"
  "1: push qword ptr [0x10020000+128]\npopfq\n"
  "jmp fword ptr [0x10020000+176]\n"
  ".globl leave_\nleave_:\n"
  "mov [0x10020000+256+120], r15\n"
  "mov r15d, 0x10020000\n"
  "mov [r15+256],rax\nmov [r15+264],rcx\nmov [r15+272],rdx\nmov [r15+280],rbx\n"
  "mov [r15+256+40],rbp\nmov [r15+256+48],rsi\nmov [r15+256+56],rdi\nmov [r15+256+64],r8\nmov [r15+256+72],r9\n"
  "mov [r15+256+80],r10\nmov [r15+256+88],r11\nmov [r15+256+96],r12\nmov [r15+256+104],r13\nmov [r15+256+112],r14\n"
  "pushfq\npop qword ptr [r15+384]\n"
  "fxsave64 [r15+1024]\n"
  "fninit\n"
  "mov dword ptr [r15+160], 0x1f80\nldmxcsr [r15+160]\n"
  "mov rsp,[r15+136]\n"
  "cld\npop r15\npop r14\npop r13\npop r12\npop rbp\npop rbx\nret\n");

static volatile int caught;
static void handler(int sig, siginfo_t *info, void *context) {
  ucontext_t *uc = context;
  caught = sig;
  uc->uc_mcontext.gregs[REG_RIP] = (greg_t)leave_;
  uc->uc_mcontext.gregs[REG_CSGSFS] = (uc->uc_mcontext.gregs[REG_CSGSFS] & ~0xffff) | 0x33;
}

int main(void) {
  uint8_t *code = mmap((void *)CODE, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  uint8_t *data = mmap((void *)DATA, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  uint8_t *control = mmap((void *)CONTROL, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  mmap((void *)STACK, 0x10000, 3, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
  sigaltstack(&ss, NULL);
  struct sigaction sa = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
  int signals[] = {SIGSEGV, SIGFPE, SIGILL, SIGBUS, SIGTRAP};
  for (int i = 0; i < 5; i++) sigaction(signals[i], &sa, NULL);
  struct testcase c;
  struct result r;
  while (fread(&c, sizeof c, 1, stdin) == 1) {
    memcpy(code + 64, c.code, c.length);
    uint8_t *p = code + 64 + c.length;
    if (c.bits == 32) {
      // jmp 0x33:leave_
      uint32_t target = (uint32_t)(uint64_t)leave_;
      p[0] = 0xea;
      memcpy(p + 1, &target, 4);
      memcpy(p + 5, "\x33\0", 2);
    } else {
      // jmp [abs]
      uint32_t at = CONTROL + 144;
      memcpy(p, "\xff\x24\x25", 3);
      memcpy(p + 3, &at, 4);
    }
    uint32_t far_target = CODE + 64;
    memcpy(control + 172, &c.bits, 4);
    memcpy(control + 176, &far_target, 4);
    memcpy(control + 180, "\x23\0", 2);
    memcpy(data + 0xf00, c.memory, 256);
    memcpy(control, c.gpr, 128);
    memcpy(control + 128, &c.rflags, 8);
    uint64_t leave_at = (uint64_t)leave_, enter_at = CODE + 64;
    memcpy(control + 144, &leave_at, 8);
    memcpy(control + 152, &enter_at, 8);
    memcpy(control + 512, c.fx, 512);
    caught = 0;
    enter();
    memcpy(r.gpr, control + 256, 128);
    memcpy(&r.rflags, control + 384, 8);
    memcpy(r.fx, control + 1024, 512);
    memcpy(r.memory, data + 0xf00, 256);
    r.signal = caught;
    fwrite(&r, sizeof r, 1, stdout);
  }
  return 0;
}
