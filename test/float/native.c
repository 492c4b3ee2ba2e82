// The judge of floating point: performs records read from standard input with the host's own instructions.
//
//   native --list          names of the SSE operations, one a line (their order is their number)
//   native sse             records {u32 operation, u32 mxcsr, u64 a, u64 b} -> {u64 result, u32 mxcsr, u32 trapped}
//   native x87             records {u32 operation, u32 0, u64 operand, u8 image[112]} (FNSAVE image, 32-bit protected
//                          format, padded) -> {u64 result, u64 result2, u8 image[112]}
//   native x87 --list
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ucontext.h>

typedef uint64_t (*Operation)(uint64_t a, uint64_t b);
typedef struct { const char *name; Operation run; } Entry;

#define BINARY(name, insn) \
  static uint64_t name(uint64_t a, uint64_t b) { \
    __asm__ volatile("movq %1, %%xmm0; movq %2, %%xmm1; " insn " %%xmm1, %%xmm0; movq %%xmm0, %0" \
                     : "=r"(a) : "r"(a), "r"(b) : "xmm0", "xmm1", "memory"); \
    return a; \
  }
#define UNARY(name, insn) \
  static uint64_t name(uint64_t a, uint64_t b) { \
    (void)b; \
    __asm__ volatile("movq %1, %%xmm1; pxor %%xmm0, %%xmm0; " insn "; movq %%xmm0, %0" \
                     : "=r"(a) : "r"(a) : "xmm0", "xmm1", "memory"); \
    return a; \
  }
#define TO_INTEGER(name, insn, reg) \
  static uint64_t name(uint64_t a, uint64_t b) { \
    (void)b; \
    uint64_t r = 0; \
    __asm__ volatile("movq %1, %%xmm1; " insn " %%xmm1, %" reg "0" : "+r"(r) : "r"(a) : "xmm0", "xmm1", "memory"); \
    return r; \
  }
#define FROM_INTEGER(name, insn, reg) \
  static uint64_t name(uint64_t a, uint64_t b) { \
    (void)b; \
    uint64_t r; \
    __asm__ volatile("pxor %%xmm0, %%xmm0; " insn " %" reg "1, %%xmm0; movq %%xmm0, %0" \
                     : "=r"(r) : "r"(a) : "xmm0", "xmm1", "memory"); \
    return r; \
  }
#define COMPARE(name, insn) \
  static uint64_t name(uint64_t a, uint64_t b) { \
    uint64_t r; \
    __asm__ volatile("movq %1, %%xmm0; movq %2, %%xmm1; " insn " %%xmm1, %%xmm0; pushfq; popq %0" \
                     : "=r"(r) : "r"(a), "r"(b) : "xmm0", "xmm1", "memory", "cc"); \
    return r & 0x45; \
  }
#define PREDICATE(name, insn, p) \
  static uint64_t name##_##p(uint64_t a, uint64_t b) { \
    __asm__ volatile("movq %1, %%xmm0; movq %2, %%xmm1; " insn " $" #p ", %%xmm1, %%xmm0; movq %%xmm0, %0" \
                     : "=r"(a) : "r"(a), "r"(b) : "xmm0", "xmm1", "memory"); \
    return a & 1; \
  }
#define PREDICATES(name, insn) \
  PREDICATE(name, insn, 0) PREDICATE(name, insn, 1) PREDICATE(name, insn, 2) PREDICATE(name, insn, 3) \
  PREDICATE(name, insn, 4) PREDICATE(name, insn, 5) PREDICATE(name, insn, 6) PREDICATE(name, insn, 7)
#define ROUND(name, insn, p) UNARY(name##_##p, insn " $" #p ", %%xmm1, %%xmm0")
#define ROUNDS(name, insn) \
  ROUND(name, insn, 0) ROUND(name, insn, 1) ROUND(name, insn, 2) ROUND(name, insn, 3) ROUND(name, insn, 4) \
  ROUND(name, insn, 8) ROUND(name, insn, 9) ROUND(name, insn, 10) ROUND(name, insn, 11) ROUND(name, insn, 12)

BINARY(f64_add, "addsd") BINARY(f64_sub, "subsd") BINARY(f64_mul, "mulsd") BINARY(f64_div, "divsd")
BINARY(f64_min, "minsd") BINARY(f64_max, "maxsd") UNARY(f64_sqrt, "sqrtsd %%xmm1, %%xmm0")
BINARY(f32_add, "addss") BINARY(f32_sub, "subss") BINARY(f32_mul, "mulss") BINARY(f32_div, "divss")
BINARY(f32_min, "minss") BINARY(f32_max, "maxss") UNARY(f32_sqrt, "sqrtss %%xmm1, %%xmm0")
UNARY(f32_to_f64, "cvtss2sd %%xmm1, %%xmm0") UNARY(f64_to_f32, "cvtsd2ss %%xmm1, %%xmm0")
TO_INTEGER(f64_to_i32, "cvtsd2si", "k") TO_INTEGER(f64_to_i32_t, "cvttsd2si", "k")
TO_INTEGER(f64_to_i64, "cvtsd2si", "q") TO_INTEGER(f64_to_i64_t, "cvttsd2si", "q")
TO_INTEGER(f32_to_i32, "cvtss2si", "k") TO_INTEGER(f32_to_i32_t, "cvttss2si", "k")
TO_INTEGER(f32_to_i64, "cvtss2si", "q") TO_INTEGER(f32_to_i64_t, "cvttss2si", "q")
FROM_INTEGER(i32_to_f64, "cvtsi2sd", "k") FROM_INTEGER(i64_to_f64, "cvtsi2sd", "q")
FROM_INTEGER(i32_to_f32, "cvtsi2ss", "k") FROM_INTEGER(i64_to_f32, "cvtsi2ss", "q")
COMPARE(f64_compare, "ucomisd") COMPARE(f64_compare_s, "comisd")
COMPARE(f32_compare, "ucomiss") COMPARE(f32_compare_s, "comiss")
PREDICATES(f64_cmp, "cmpsd") PREDICATES(f32_cmp, "cmpss")
ROUNDS(f64_round, "roundsd") ROUNDS(f32_round, "roundss")

#define E(name) {#name, name}
#define EP(name) E(name##_0), E(name##_1), E(name##_2), E(name##_3), E(name##_4), E(name##_5), E(name##_6), E(name##_7)
#define ER(name) \
  E(name##_0), E(name##_1), E(name##_2), E(name##_3), E(name##_4), E(name##_8), E(name##_9), E(name##_10), \
  E(name##_11), E(name##_12)
static const Entry sse[] = {
  E(f64_add), E(f64_sub), E(f64_mul), E(f64_div), E(f64_min), E(f64_max), E(f64_sqrt),
  E(f32_add), E(f32_sub), E(f32_mul), E(f32_div), E(f32_min), E(f32_max), E(f32_sqrt),
  E(f32_to_f64), E(f64_to_f32),
  E(f64_to_i32), E(f64_to_i32_t), E(f64_to_i64), E(f64_to_i64_t),
  E(f32_to_i32), E(f32_to_i32_t), E(f32_to_i64), E(f32_to_i64_t),
  E(i32_to_f64), E(i64_to_f64), E(i32_to_f32), E(i64_to_f32),
  E(f64_compare), E(f64_compare_s), E(f32_compare), E(f32_compare_s),
  EP(f64_cmp), EP(f32_cmp), ER(f64_round), ER(f32_round),
};
#define SSE_COUNT (sizeof sse / sizeof sse[0])

static sigjmp_buf trap;
static volatile uint32_t trapped_mxcsr;

static void on_fpe(int number, siginfo_t *info, void *context) {
  (void)number;
  (void)info;
  trapped_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
  siglongjmp(trap, 1);
}

static int run_sse(void) {
  struct sigaction action = {0};
  action.sa_sigaction = on_fpe;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGFPE, &action, NULL);
  const uint32_t quiet = 0x1f80;
  struct { uint32_t operation, mxcsr; uint64_t a, b; } in;
  struct { uint64_t result; uint32_t mxcsr, trapped; } out;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    if (in.operation >= SSE_COUNT) return 2;
    memset(&out, 0, sizeof out);
    if (sigsetjmp(trap, 0) == 0) {
      __asm__ volatile("ldmxcsr %0" : : "m"(in.mxcsr) : "memory");
      out.result = sse[in.operation].run(in.a, in.b);
      __asm__ volatile("stmxcsr %0; ldmxcsr %1" : "=m"(out.mxcsr) : "m"(quiet) : "memory");
    } else {
      __asm__ volatile("ldmxcsr %0" : : "m"(quiet) : "memory");
      out.trapped = 1;
      out.mxcsr = trapped_mxcsr;
    }
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "--list") == 0) {
    for (size_t i = 0; i < SSE_COUNT; i++) puts(sse[i].name);
    return 0;
  }
  if (count > 1 && strcmp(arguments[1], "sse") == 0) return run_sse();
  fputs("usage: native --list | sse | x87 [--list]\n", stderr);
  return 2;
}
