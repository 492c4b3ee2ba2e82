/*
 * churn SEED: machine code that nobody has run before. Functions are made, run, changed, run again and forgotten; some
 * change themselves while they run; some are programs of their own, written to a file and executed. Each is a loop of
 * chance operations on one register, and is checked against the same operations done one by one.
 * Prints a checksum; ends with status 1 where an answer differs.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FUNCTIONS = 24, CHANGES = 6, PROGRAMS = 4, TURNS = 4000, MAX_STEPS = 40, PAGE = 4096 };

typedef enum { ADD, XOR, MULTIPLY, SUBTRACT, LEA, ROTATE, SWAP, NOT, NOT_IF_ODD, CHANGE_FIRST, KINDS } Kind;

/* Bytes before the operand and behind it; the operand is of 4 bytes but for ROTATE. All on rax; rcx counts down. */
static const struct {
  unsigned char bytes[7], length, operand;
} forms[KINDS] = {
    [ADD] = {{0x48, 0x05}, 2, 4},
    [XOR] = {{0x48, 0x35}, 2, 4},
    [MULTIPLY] = {{0x48, 0x69, 0xc0}, 3, 4},
    [SUBTRACT] = {{0x48, 0x2d}, 2, 4},
    [LEA] = {{0x48, 0x8d, 0x84, 0x88}, 4, 4}, /* rax + rcx * 4 + operand */
    [ROTATE] = {{0x48, 0xc1, 0xc0}, 3, 1},
    [SWAP] = {{0x48, 0x0f, 0xc8}, 3, 0},
    [NOT] = {{0x48, 0xf7, 0xd0}, 3, 0},
    [NOT_IF_ODD] = {{0xa8, 0x01, 0x74, 0x03, 0x48, 0xf7, 0xd0}, 7, 0},
    /* add dword [rip + distance], operand: on the operand of the first step, which is always an ADD */
    [CHANGE_FIRST] = {{0x81, 0x05}, 2, 4},
};

typedef struct {
  Kind kind;
  uint32_t operand;
  unsigned char *place; /* of the operand */
} Step;

typedef struct {
  Step steps[MAX_STEPS];
  int count;
} Function;

static uint64_t seed;

static uint32_t chance(void) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(seed >> 33) ^ (uint32_t)(seed >> 45);
}

static void fail(const char *what) {
  fflush(stdout);
  perror(what);
  exit(1);
}

static unsigned char *put(unsigned char *at, uint32_t value, int bytes) {
  memcpy(at, &value, (size_t)bytes);
  return at + bytes;
}

/* Writes the function at `at`, and says where it ends. rdi: start value, rsi: turns. */
static unsigned char *make(Function *f, unsigned char *at, int changes_itself) {
  static const unsigned char begin[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf1}, next[] = {0x48, 0xff, 0xc9, 0x0f, 0x85};
  memcpy(at, begin, sizeof begin);
  unsigned char *loop = at += sizeof begin;
  f->count = 4 + (int)(chance() % (MAX_STEPS - 4));
  for (int n = 0; n < f->count; n++) {
    Step *step = &f->steps[n];
    step->kind = n == 0 ? ADD : chance() % CHANGE_FIRST;
    if (changes_itself && n == f->count - 1) step->kind = CHANGE_FIRST;
    int length = forms[step->kind].length, operand = forms[step->kind].operand;
    step->operand = chance() >> (step->kind == CHANGE_FIRST ? 16 : 1);
    if (operand == 1) step->operand = step->operand % 63 + 1;
    memcpy(at, forms[step->kind].bytes, (size_t)length);
    at += length;
    if (step->kind == CHANGE_FIRST) at = put(at, (uint32_t)(f->steps[0].place - (at + 8)), 4);
    step->place = at;
    at = put(at, step->operand, operand);
  }
  memcpy(at, next, sizeof next);
  at += sizeof next;
  at = put(at, (uint32_t)(loop - (at + 4)), 4);
  *at++ = 0xc3;
  return at;
}

static uint64_t one_by_one(Function *f, uint64_t x, uint64_t turns) {
  for (uint64_t left = turns; left > 0; left--) {
    for (int n = 0; n < f->count; n++) {
      uint32_t operand = f->steps[n].operand;
      uint64_t wide = (uint64_t)(int64_t)(int32_t)operand;
      switch (f->steps[n].kind) {
        case ADD: x += wide; break;
        case XOR: x ^= wide; break;
        case MULTIPLY: x *= wide; break;
        case SUBTRACT: x -= wide; break;
        case LEA: x += left * 4 + wide; break;
        case ROTATE: x = x << operand | x >> (64 - operand); break;
        case SWAP: x = __builtin_bswap64(x); break;
        case NOT: x = ~x; break;
        case NOT_IF_ODD: x = x & 1 ? ~x : x; break;
        default: f->steps[0].operand += operand;
      }
    }
  }
  return x;
}

static void check(const char *what, int number, int run, uint64_t answer, uint64_t expected) {
  if (answer == expected) return;
  fprintf(stderr, "WRONG %s %d, run %d: %016llx instead of %016llx\n", what, number, run, (unsigned long long)answer,
          (unsigned long long)expected);
  exit(1);
}

/* Runs the function, changes operands of it, runs it again. Turns differ: some stay cold, some become hot at once. */
static uint64_t run_in_memory(int number) {
  /* Every third goes from one page into the next, instructions and operands that are changed among them. */
  int crosses = number % 3 == 1;
  size_t size = PAGE * ((crosses ? 2 : 1) + chance() % 3);
  unsigned char *pages = mmap(0, size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) fail("mmap");
  Function f;
  unsigned char *at = pages + (crosses ? PAGE - 1 - chance() % 250 : chance() % (size - 1024));
  int changes_itself = number % 8 == 0;
  make(&f, at, changes_itself);
  uint64_t sum = chance();
  for (int n = 0; n < CHANGES; n++) {
    uint64_t turns = changes_itself ? 300 : 1 + chance() % TURNS;
    uint64_t expected = one_by_one(&f, sum, turns);
    sum = ((uint64_t(*)(uint64_t, uint64_t))(uintptr_t)at)(sum, turns);
    check("function", number, n, sum, expected);
    Step *step = &f.steps[chance() % (uint32_t)f.count];
    if (forms[step->kind].operand < 4) continue;
    step->operand = chance() >> 16;
    put(step->place, step->operand, 4);
  }
  munmap(pages, size);
  return sum;
}

/* A program of one function: its status is the lowest byte of the result. */
static uint64_t run_as_program(int number) {
  enum { BASE = 0x400000, HEADERS = 120 };
  static unsigned char image[PAGE];
  static const unsigned char headers[HEADERS] = {
      0x7f, 'E', 'L', 'F', 2, 1, 1, [16] = 2, [18] = 62, [20] = 1, [24] = HEADERS, 0, 0x40, [32] = 64, [52] = 64, [54] = 56,
      [56] = 1, [64] = 1, [68] = 5, [82] = 0x40, [90] = 0x40, [97] = 0x10, [105] = 0x10, [113] = 0x10};
  static const unsigned char end[] = {0x89, 0xc7, 0xb8, 60, 0, 0, 0, 0x0f, 0x05}; /* exit(eax) */
  memcpy(image, headers, sizeof headers);
  Function f;
  uint32_t turns = 1 + chance() % TURNS, start = chance() >> 1;
  unsigned char *at = image + HEADERS;
  *at++ = 0xbf, at = put(at, start, 4);          /* mov edi, start */
  *at++ = 0xbe, at = put(at, turns, 4);          /* mov esi, turns */
  *at++ = 0xe8, at = put(at, sizeof end, 4);     /* call what follows the end */
  memcpy(at, end, sizeof end);
  make(&f, at + sizeof end, 0);
  char name[64];
  sprintf(name, "/tmp/churn-%d-%d", getpid(), number);
  int file = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0755);
  if (file < 0 || write(file, image, PAGE) != PAGE) fail(name);
  close(file);
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    execl(name, name, (char *)0);
    _exit(127);
  }
  int status;
  waitpid(child, &status, 0);
  unlink(name);
  check("program", number, 0, (uint64_t)status, (one_by_one(&f, start, turns) & 255) << 8);
  return (uint64_t)status;
}

int main(int argc, char **argv) {
  seed = argc > 1 ? (uint64_t)strtoull(argv[1], 0, 10) * 0x9e3779b97f4a7c15u : 1;
  uint64_t sum = 0;
  for (int n = 0; n < FUNCTIONS; n++) sum = (sum ^ run_in_memory(n)) * 0x100000001b3u;
  for (int n = 0; n < PROGRAMS; n++) sum = (sum ^ run_as_program(n)) * 0x100000001b3u;
  printf("CHURNED %016llx\n", (unsigned long long)sum);
  return 0;
}
