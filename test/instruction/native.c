// Executes single instructions on this processor in user mode and reports what became of registers, memory and x87 and SSE
// state, or which exception they raised. Built twice, without a C library: a 64-bit program for 64-bit code and a 32-bit
// program, whose local descriptor table also has 16-bit segments, for the rest.
//
// Standard input is a file: a page with counts and the descriptors, then records (test/instruction/layout.mjs), each of
// which is replaced by its answer. Every instruction ends in a signal, by the INT3s around it or by a fault of its own:
//
//   load: fxrstor request; ud2 -> signal, whose handler puts the request into the frame -> the instruction -> signal, whose
//   handler takes the frame into the record -> store: fxsave -> load
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef unsigned long word;

struct record {
  u64 gpr[16]; // in encoding order
  u64 flags;
  u64 rip;
  u16 selector[6]; // ES CS SS DS FS GS
  u16 unused[2];
  u32 trap;
  u32 error;
  u64 cr2;
  u64 fs_base;
  u64 gs_base;
  u8 fx[512];
  u8 code[32];
  u8 low[256];
  u8 high[256];
  u32 sum;   // of the data pages
  u32 place; // linear address of the code
  u8 rest[24];
};
struct user_desc {
  u32 entry, base, limit, flags;
};
struct header {
  u32 records, descriptors;
  struct user_desc descriptor[32];
};

#define CODE 0x24000000u
#define CODE_SIZE 0x10000u
#define DATA 0x10000000u
#define DATA_SIZE 0x2000u
#define LOW (DATA + 0xf80)
#define HIGH (DATA + 0x1f00)
#define READ_ONLY 0x10004000u
#define INPUT 0x70000000u

#ifdef __x86_64__
enum { MMAP = 9, SIGALTSTACK = 131, SIGACTION = 13, EXIT = 60, MODIFY_LDT = 154, MEMFD = 319, FTRUNCATE = 77 };
struct stack { void *sp; int flags; u64 size; };
struct context {
  u64 flags, link;
  struct stack stack;
  u64 r[8], di, si, bp, bx, dx, ax, cx, sp, ip, eflags;
  u16 cs, gs, fs, ss;
  u64 error, trap, mask, cr2;
};
struct action { void *handler; u64 flags; void *restorer; u64 mask; };
static long call(long n, word a, word b, word c, word d, word e, word f) {
  register word r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
  __asm__ volatile("syscall" : "+a"(n) : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return n;
}
#else
enum { MMAP = 192, SIGALTSTACK = 186, SIGACTION = 174, EXIT = 1, MODIFY_LDT = 123, MEMFD = 356, FTRUNCATE = 93 };
struct stack { void *sp; int flags; u32 size; };
struct context {
  u32 flags, link;
  struct stack stack;
  u16 gs, gs_high, fs, fs_high, es, es_high, ds, ds_high;
  u32 di, si, bp, sp, bx, dx, cx, ax, trap, error, ip;
  u16 cs, cs_high;
  u32 eflags, sp_at_signal;
  u16 ss, ss_high;
  u32 fpstate, mask, cr2;
};
struct action { void *handler; u32 flags; void *restorer; u32 mask[2]; };
static long call(long n, word a, word b, word c, word d, word e, word f) {
  __asm__ volatile("push %%ebp; mov %[f], %%ebp; int $0x80; pop %%ebp"
                   : "+a"(n) : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [f] "m"(f) : "memory");
  return n;
}
#endif

static struct header *const header = (struct header *)INPUT;
static struct record *record, *last;
static u8 *writable_code;
static int is_running;
static u8 signal_stack[65536] __attribute__((aligned(64)));
u8 *fx_out, *fx_in;

extern void load(void), store(void), restore(void), on_signal(void), leave(void);

static void copy(void *to, const void *from, u32 size) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
}
static void fill(void *to, u8 value, u32 size) {
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
}

static u32 sum(void) {
  const u32 *p = (const u32 *)DATA;
  u32 s = 0;
  for (u32 n = 0; n < DATA_SIZE / 4; n++) s = s * 31 + p[n];
  return s;
}

static void enter_case(struct context *c) {
  struct record *r = record;
  copy(writable_code + (r->place - CODE), r->code, 32);
  fill((void *)DATA, 0, DATA_SIZE);
  copy((void *)LOW, r->low, 256);
  copy((void *)HIGH, r->high, 256);
#ifdef __x86_64__
  for (int n = 0; n < 8; n++) c->r[n] = r->gpr[8 + n];
  __asm__ volatile("mov %0, %%ds; mov %1, %%es; mov %2, %%fs; mov %3, %%gs"
                   : : "r"((u32)r->selector[3]), "r"((u32)r->selector[0]), "r"((u32)r->selector[4]), "r"((u32)r->selector[5]));
  __asm__ volatile("wrfsbase %0; wrgsbase %1" : : "r"(r->fs_base), "r"(r->gs_base));
#else
  c->es = r->selector[0];
  c->ds = r->selector[3];
  c->fs = r->selector[4];
  c->gs = r->selector[5];
#endif
  c->cs = r->selector[1];
  c->ss = r->selector[2];
  c->ax = r->gpr[0];
  c->cx = r->gpr[1];
  c->dx = r->gpr[2];
  c->bx = r->gpr[3];
  c->sp = r->gpr[4];
  c->bp = r->gpr[5];
  c->si = r->gpr[6];
  c->di = r->gpr[7];
  c->eflags = r->flags;
  c->ip = r->rip;
}

static void take_case(struct context *c) {
  struct record *r = record;
#ifdef __x86_64__
  u32 s;
  for (int n = 0; n < 8; n++) r->gpr[8 + n] = c->r[n];
  __asm__ volatile("mov %%es, %0" : "=r"(s));
  r->selector[0] = s;
  __asm__ volatile("mov %%ds, %0" : "=r"(s));
  r->selector[3] = s;
  __asm__ volatile("mov %%fs, %0" : "=r"(s));
  r->selector[4] = s;
  __asm__ volatile("mov %%gs, %0" : "=r"(s));
  r->selector[5] = s;
  __asm__ volatile("rdfsbase %0" : "=r"(r->fs_base));
  __asm__ volatile("rdgsbase %0" : "=r"(r->gs_base));
#else
  r->selector[0] = c->es;
  r->selector[3] = c->ds;
  r->selector[4] = c->fs;
  r->selector[5] = c->gs;
  c->es = c->ds = 0x2b;
  c->fs = c->gs = 0;
#endif
  r->selector[1] = c->cs;
  r->selector[2] = c->ss;
  r->gpr[0] = c->ax;
  r->gpr[1] = c->cx;
  r->gpr[2] = c->dx;
  r->gpr[3] = c->bx;
  r->gpr[4] = c->sp;
  r->gpr[5] = c->bp;
  r->gpr[6] = c->si;
  r->gpr[7] = c->di;
  r->flags = c->eflags;
  r->rip = c->ip;
  r->trap = c->trap;
  r->error = c->error;
  r->cr2 = c->cr2;
  copy(r->low, (void *)LOW, 256);
  copy(r->high, (void *)HIGH, 256);
  r->sum = sum();
  fill(writable_code + (r->place - CODE), 0xcc, 32);
  fx_out = r->fx;
  record++;
  fx_in = record->fx;
  c->ip = (word)(record == last ? leave : store);
  c->cs = sizeof(word) == 8 ? 0x33 : 0x23;
  c->ss = 0x2b;
  c->sp = (word)(signal_stack + 4096);
  c->eflags = 2;
}

__attribute__((used)) void handle(int number, void *info, struct context *c) {
  (void)number;
  (void)info;
  if (is_running) take_case(c);
  else enter_case(c);
  is_running = !is_running;
}

__asm__(
  ".text\n"
#ifdef __x86_64__
  "load: mov fx_in(%rip), %rax\n fxrstor64 (%rax)\n ud2\n"
  "store: mov fx_out(%rip), %rax\n fxsave64 (%rax)\n jmp load\n"
  "leave: mov fx_out(%rip), %rax\n fxsave64 (%rax)\n mov $60, %eax\n xor %edi, %edi\n syscall\n"
  // The instruction's AC, NT and ID are still there.
  "on_signal: pushq $2\n popf\n jmp handle\n"
  "restore: mov $15, %eax\n syscall\n"
  ".globl _start\n_start: and $-16, %rsp\n call start\n"
#else
  "load: mov fx_in, %eax\n fxrstor (%eax)\n ud2\n"
  "store: mov fx_out, %eax\n fxsave (%eax)\n jmp load\n"
  "leave: mov fx_out, %eax\n fxsave (%eax)\n mov $1, %eax\n xor %ebx, %ebx\n int $0x80\n"
  "on_signal: pushl $2\n popf\n jmp handle\n"
  "restore: mov $173, %eax\n int $0x80\n"
  ".globl _start\n_start: and $-16, %esp\n call start\n"
#endif
);

static void quit(int status) { call(EXIT, status, 0, 0, 0, 0, 0); }
static void *map(word at, word size, int protection, int flags, int fd) {
  const long p = call(MMAP, at, size, protection, flags, fd, 0);
  if ((word)p > (word)-4096) quit(3);
  return (void *)p;
}

__attribute__((used)) void start(void) {
  enum { READ = 1, WRITE = 2, RUN = 4, SHARED = 1, PRIVATE = 2, FIXED = 16, ANONYMOUS = 32 };
  map(INPUT, 4096, READ | WRITE, SHARED | FIXED, 0);
  const u32 records = header->records;
  map(INPUT, 4096 + (records + 1) * sizeof(struct record), READ | WRITE, SHARED | FIXED, 0);
  record = (struct record *)(INPUT + 4096);
  last = record + records;
  fx_in = record->fx;
  map(DATA, DATA_SIZE, READ | WRITE, PRIVATE | FIXED | ANONYMOUS, -1);
  u8 *page = map(READ_ONLY, 4096, READ | WRITE, PRIVATE | FIXED | ANONYMOUS, -1);
  for (u32 n = 0; n < 4096; n++) page[n] = n * 37;
  const int fd = call(MEMFD, (word) "code", 0, 0, 0, 0, 0);
  // One page more to write than to run: an instruction may run over the end.
  call(FTRUNCATE, fd, CODE_SIZE + 4096, 0, 0, 0, 0);
  writable_code = map(0x7e000000, CODE_SIZE + 4096, READ | WRITE, SHARED | FIXED, fd);
  fill(writable_code, 0xcc, CODE_SIZE + 4096);
  map(CODE, CODE_SIZE, READ | RUN, SHARED | FIXED, fd);
  enum { MPROTECT = sizeof(word) == 8 ? 10 : 125 };
  call(MPROTECT, READ_ONLY, 4096, READ, 0, 0, 0);
  for (u32 n = 0; n < header->descriptors; n++) {
    if (call(MODIFY_LDT, 0x11, (word)&header->descriptor[n], sizeof(struct user_desc), 0, 0, 0) != 0) quit(4);
  }
  const struct stack stack = {signal_stack + 8192, 0, sizeof signal_stack - 8192};
  call(SIGALTSTACK, (word)&stack, 0, 0, 0, 0, 0);
  enum { SIGINFO = 4, RESTORER = 0x4000000, ONSTACK = 0x8000000, NODEFER = 0x40000000 };
  const struct action action = {.handler = on_signal, .flags = SIGINFO | RESTORER | ONSTACK | NODEFER, .restorer = restore};
  const int signals[] = {4, 5, 7, 8, 11};
  for (int n = 0; n < 5; n++) call(SIGACTION, signals[n], (word)&action, 0, 8, 0, 0);
  load();
}
