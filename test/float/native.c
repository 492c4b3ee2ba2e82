// The judge of floating point: performs records read from standard input with the host's own instructions.
//
//   native --list          names of the SSE operations, one a line (their order is their number)
//   native sse             records {u32 operation, u32 mxcsr, u64 a, u64 b} -> {u64 result, u32 mxcsr, u32 trapped}
//   native x87             records {u32 operation, u32 0, u64 operand, u8 image[112]} (FNSAVE image, 32-bit protected
//                          format, padded) -> {u64 result, u64 result2, u8 image[112]}
//   native x87 --list
//   native fx              512-byte images: FXRSTOR64, then FXSAVE64
//   native error           records {u32 function, u32 0, u64 m0, u64 h0, u64 m1, u64 h1, u64 m, u64 h} -> {double}: the error of
//                          the 80-bit number m, h as function(st0, st1), in units of its last place, by 113-bit arithmetic
#define _GNU_SOURCE
#include <quadmath.h>
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

// ---- x87 ----
// Every operation loads a whole state, does one instruction and saves the whole state, so that tags, TOP, flags and
// registers are all judged. FNSAVE does not wait, so a pending unmasked exception is saved like the rest.
typedef struct { uint32_t operation, zero; uint64_t operand; uint8_t image[112]; } X87In;
typedef struct { uint64_t result, result2; uint8_t image[112]; } X87Out;
typedef void (*X87Operation)(const X87In *in, X87Out *out);
typedef struct { const char *name; X87Operation run; } X87Entry;

#define REGISTER_FORM(name, insn) \
  static void x87_##name(const X87In *in, X87Out *out) { \
    __asm__ volatile("frstor %2\n\t" insn "\n\tfnsave %0" : "=m"(out->image), "=m"(*out) : "m"(in->image) : "memory"); \
  }
#define LOAD_FORM(name, insn) \
  static void x87_##name(const X87In *in, X87Out *out) { \
    __asm__ volatile("frstor %1\n\t" insn " %2\n\tfnsave %0" \
                     : "=m"(out->image) : "m"(in->image), "m"(in->operand) : "memory"); \
  }
#define STORE_FORM(name, insn) \
  static void x87_##name(const X87In *in, X87Out *out) { \
    __asm__ volatile("frstor %2\n\t" insn " %1\n\tfnsave %0" \
                     : "=m"(out->image), "+m"(out->result) : "m"(in->image) : "memory"); \
  }
#define FLAGS_FORM(name, insn) \
  static void x87_##name(const X87In *in, X87Out *out) { \
    __asm__ volatile("frstor %2\n\tpushq $0x8c5\n\tpopfq\n\t" insn "\n\tpushfq\n\tpopq %1\n\tfnsave %0" \
                     : "=m"(out->image), "=r"(out->result) : "m"(in->image) : "memory", "cc"); \
    out->result &= 0x45; \
  }
#define MOVE_FORM(name, insn, flags) \
  static void x87_##name(const X87In *in, X87Out *out) { \
    __asm__ volatile("frstor %1\n\tpushq $" #flags "\n\tpopfq\n\t" insn "\n\tfnsave %0" \
                     : "=m"(out->image) : "m"(in->image) : "memory", "cc"); \
  }

#define X87_LIST(R, L, S) \
  R(add, "fadd %%st(1), %%st") R(add_to, "fadd %%st, %%st(1)") R(add_pop, "faddp %%st, %%st(1)") R(add_self, "fadd %%st, %%st") \
  R(mul, "fmul %%st(1), %%st") R(mul_pop, "fmulp %%st, %%st(1)") \
  R(sub, ".byte 0xd8, 0xe1") R(subr, ".byte 0xd8, 0xe9") R(sub_to, ".byte 0xdc, 0xe9") R(subr_to, ".byte 0xdc, 0xe1") \
  R(div, ".byte 0xd8, 0xf1") R(divr, ".byte 0xd8, 0xf9") R(div_pop, ".byte 0xde, 0xf9") R(divr_pop, ".byte 0xde, 0xf1") \
  R(sqrt, "fsqrt") R(chs, "fchs") R(abs, "fabs") R(tst, "ftst") R(xam, "fxam") R(rndint, "frndint") R(scale, "fscale") \
  R(xtract, "fxtract") R(prem, "fprem") R(prem1, "fprem1") \
  R(com, "fcom %%st(1)") R(comp, "fcomp %%st(1)") R(compp, "fcompp") R(ucom, "fucom %%st(1)") R(ucompp, "fucompp") \
  R(xch, "fxch %%st(1)") R(ffree, "ffree %%st(1)") R(incstp, "fincstp") R(decstp, "fdecstp") R(ld_st, "fld %%st(1)") \
  R(st_st, "fst %%st(1)") R(stp_st, "fstp %%st(1)") R(nclex, "fnclex") R(ninit, "fninit") \
  R(ld1, "fld1") R(ldl2t, "fldl2t") R(ldl2e, "fldl2e") R(ldpi, "fldpi") R(ldlg2, "fldlg2") R(ldln2, "fldln2") \
  R(ldz, "fldz") R(emms, "emms") R(mmx_move, "movq %%mm1, %%mm2") \
  L(add_f32, "fadds") L(mul_f32, "fmuls") L(sub_f64, "fsubl") L(subr_f64, "fsubrl") L(div_f32, "fdivs") \
  L(divr_f64, "fdivrl") L(com_f32, "fcoms") L(comp_f64, "fcompl") \
  L(add_i16, "fiadds") L(mul_i32, "fimull") L(subr_i32, "fisubrl") L(div_i16, "fidivs") L(comp_i32, "ficompl") \
  L(ld_f32, "flds") L(ld_f64, "fldl") L(ild_i16, "filds") L(ild_i32, "fildl") L(ild_i64, "fildll") \
  L(bld, "fbld") L(ld_f80, "fldt") L(ldcw, "fldcw") \
  S(st_f32, "fsts") S(stp_f64, "fstpl") S(stp_f80, "fstpt") S(ist_i16, "fists") S(ist_i32, "fistl") \
  S(istp_i64, "fistpll") S(isttp_i16, "fisttps") S(isttp_i32, "fisttpl") S(isttp_i64, "fisttpll") S(bstp, "fbstp") \
  S(stenv, "fnstenv") S(stenv16, "data16 fnstenv") L(ldenv, "fldenv") L(ldenv16, "data16 fldenv") \
  R(sin, "fsin") R(cos, "fcos") R(sincos, "fsincos") R(ptan, "fptan") R(patan, "fpatan") R(2xm1, "f2xm1") \
  R(yl2x, "fyl2x") R(yl2xp1, "fyl2xp1")

X87_LIST(REGISTER_FORM, LOAD_FORM, STORE_FORM)
FLAGS_FORM(comi, "fcomi %%st(1), %%st")
FLAGS_FORM(comip, "fcomip %%st(1), %%st")
FLAGS_FORM(ucomi, "fucomi %%st(1), %%st")
MOVE_FORM(cmov, "fcmove %%st(1), %%st", 0x42)
MOVE_FORM(cmov_not, "fcmove %%st(1), %%st", 0x02)

#define X87_E(name, insn) {#name, x87_##name},
static const X87Entry x87[] = {
  X87_LIST(X87_E, X87_E, X87_E)
  X87_E(comi, ) X87_E(comip, ) X87_E(ucomi, ) X87_E(cmov, ) X87_E(cmov_not, )
};
#define X87_COUNT (sizeof x87 / sizeof x87[0])

static int run_x87(void) {
  static X87In in;
  static X87Out out;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    if (in.operation >= X87_COUNT) return 2;
    memset(&out, 0xcc, sizeof out);
    x87[in.operation].run(&in, &out);
    fwrite(&out, sizeof out, 1, stdout);
  }
  return 0;
}

// ---- FXSAVE ----
static int run_fx(void) {
  static uint8_t image[512] __attribute__((aligned(16)));
  static uint8_t saved[512] __attribute__((aligned(16)));
  static uint8_t own[512] __attribute__((aligned(16)));
  while (fread(image, sizeof image, 1, stdin) == 1) {
    memset(saved, 0, sizeof saved);
    __asm__ volatile("fxsave64 %1\n\tfxrstor64 %2\n\tfxsave64 %0\n\tfnclex\n\tfxrstor64 %1"
                     : "=m"(saved), "+m"(own) : "m"(image) : "memory");
    fwrite(saved, sizeof saved, 1, stdout);
  }
  return 0;
}

// ---- the error of transcendental results ----
static __float128 number(uint64_t mantissa, uint64_t head) {
  const int field = head & 0x7fff;
  const __float128 value = ldexpq((__float128)mantissa, (field ? field : 1) - 16383 - 63);
  return head & 0x8000 ? -value : value;
}

static __float128 reference(uint32_t function, __float128 x, __float128 y) {
  // Intel's pi of 66 bits, halved: 0x3.243f6a8885a308d3 / 2.
  const __float128 half_pi = ((__float128)0x3243f6a8885a3ULL * 65536 + 0x08d3) * 0x1p-65Q;
  int quotient = 0;
  __float128 r = x;
  if (function <= 2) r = fabsq(x) <= half_pi / 2 ? x : remquoq(x, half_pi, &quotient);
  const __float128 sine = function <= 2 ? sinq(r) : 0, cosine = function <= 2 ? cosq(r) : 0;
  const int q = quotient & 3;
  switch (function) {
    case 0: return q == 0 ? sine : q == 1 ? cosine : q == 2 ? -sine : -cosine;
    case 1: return q == 0 ? cosine : q == 1 ? -sine : q == 2 ? -cosine : sine;
    case 2: return q & 1 ? -cosine / sine : sine / cosine;
    case 3: return atan2q(y, x);
    case 4: return expm1q(x * M_LN2q);
    case 5: return y * (fabsq(x - 1) < 0.25Q ? log1pq(x - 1) / M_LN2q : log2q(x));
    // The 113-bit format would keep few bits of a small logarithm.
    default: return fabsq(x) < 0x1p-130Q ? y * (x * 0x1p100Q / M_LN2q) * 0x1p-100Q : y * (log1pq(x) / M_LN2q);
  }
}

static int run_error(void) {
  struct { uint32_t function, zero; uint64_t m0, h0, m1, h1, m, h; } in;
  while (fread(&in, sizeof in, 1, stdin) == 1) {
    const __float128 exact = reference(in.function, number(in.m0, in.h0), number(in.m1, in.h1));
    int exponent;
    frexpq(exact, &exponent);
    if (exponent < -16381) exponent = -16381;
    const double error = (double)(fabsq(number(in.m, in.h) - exact) / ldexpq(1, exponent - 64));
    fwrite(&error, sizeof error, 1, stdout);
  }
  return 0;
}

int main(int count, char **arguments) {
  if (count > 1 && strcmp(arguments[1], "--list") == 0) {
    for (size_t i = 0; i < SSE_COUNT; i++) puts(sse[i].name);
    return 0;
  }
  if (count > 1 && strcmp(arguments[1], "sse") == 0) return run_sse();
  if (count > 2 && strcmp(arguments[1], "x87") == 0 && strcmp(arguments[2], "--list") == 0) {
    for (size_t i = 0; i < X87_COUNT; i++) puts(x87[i].name);
    return 0;
  }
  if (count > 1 && strcmp(arguments[1], "x87") == 0) return run_x87();
  if (count > 1 && strcmp(arguments[1], "fx") == 0) return run_fx();
  if (count > 1 && strcmp(arguments[1], "error") == 0) return run_error();
  fputs("usage: native --list | sse | x87 [--list] | fx | error\n", stderr);
  return 2;
}
