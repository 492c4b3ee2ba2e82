/* Text and data-driven control: the C library's string functions, and an interpreter of a small byte code. */
#include "suite.h"
#include <stdlib.h>
#include <string.h>

static const char *const syllables[] = {"an", "ber", "co", "del", "er", "fo", "gra", "hin", "is", "jo", "ka", "lum",
                                        "mer", "no", "or", "pel"};

/* strlen, strcmp, strchr, strstr, strncpy, memchr over 1 MB of made-up words. */
static uint64_t strings(void) {
  enum { SIZE = 1 << 20, WORDS = 60000 };
  char *text = obtain(SIZE + 64);
  char **words = obtain(WORDS * sizeof *words);
  uint64_t seed = 2024, sum = 0;
  size_t at = 0, count = 0;
  while (at < SIZE - 64 && count < WORDS) {
    words[count++] = text + at;
    unsigned parts = 1 + (unsigned)(next_random(&seed) & 7);
    for (unsigned i = 0; i < parts; i++) {
      const char *s = syllables[next_random(&seed) & 15];
      size_t n = strlen(s);
      memcpy(text + at, s, n);
      at += n;
    }
    text[at++] = 0;
  }
  for (int round = 0; round < 6; round++) {
    for (size_t i = 0; i < count; i++) sum += strlen(words[i]);
    for (size_t i = 1; i < count; i++) sum += strcmp(words[i - 1], words[i]) < 0 ? 3 : 1;
    for (size_t i = 0; i < count; i++) sum += strchr(words[i], 'k') != NULL;
    for (size_t i = 0; i < count; i += 3) sum += strstr(words[i], "merno") != NULL;
    for (size_t i = 0; i + 1 < count; i += 2) {
      char buffer[48];
      strncpy(buffer, words[i], sizeof buffer - 1);
      buffer[47] = 0;
      sum += (unsigned char)buffer[(i + (size_t)round) % 5];
    }
    sum = fold(sum, (uint64_t)round);
  }
  /* Join the words, then search in one long text. */
  for (size_t i = 0; i + 1 < at; i++)
    if (!text[i]) text[i] = ' ';
  for (int i = 0; i < 16; i++) {
    char needle[16];
    strcpy(needle, syllables[i]);
    strcat(needle, syllables[(i * 7 + 3) & 15]);
    strcat(needle, " ");
    strcat(needle, syllables[(i * 5 + 1) & 15]);
    for (const char *p = text; (p = strstr(p, needle)); p++) sum += (uint64_t)(p - text);
    const char *q = memchr(text, syllables[i][0], at);
    sum = fold(sum, q ? (uint64_t)(q - text) : 0);
  }
  free(words);
  free(text);
  return sum;
}

enum { PUSH, LOAD, STORE, ADD, SUB, MUL, AND, XOR, SHR, LESS, JUMP_IF, JUMP, DUP, PEEK, POKE, HALT };

/* Runs a program on a stack machine; the dispatch is a switch in a loop. */
static uint64_t interpret(const int *program, uint64_t *memory, uint64_t *variables) {
  uint64_t stack[64], *top = stack;
  const int *p = program;
  for (;;) {
    switch (*p++) {
      case PUSH: *++top = (uint64_t)(int64_t)*p++; break;
      case LOAD: *++top = variables[*p++]; break;
      case STORE: variables[*p++] = *top--; break;
      case ADD: top--; top[0] += top[1]; break;
      case SUB: top--; top[0] -= top[1]; break;
      case MUL: top--; top[0] *= top[1]; break;
      case AND: top--; top[0] &= top[1]; break;
      case XOR: top--; top[0] ^= top[1]; break;
      case SHR: top--; top[0] >>= top[1] & 63; break;
      case LESS: top--; top[0] = top[0] < top[1]; break;
      case JUMP_IF: if (*top--) p = program + *p; else p++; break;
      case JUMP: p = program + *p; break;
      case DUP: top++; top[0] = top[-1]; break;
      case PEEK: top[0] = memory[top[0] & 1023]; break;
      case POKE: top -= 2; memory[top[1] & 1023] = top[2]; break;
      case HALT: return *top;
    }
  }
}

/* for i in 0..count: x = x * 1103515245 + memory[x >> 7] + i; memory[i] = x ^ i; if (x & 1) y += x; */
static uint64_t byte_code(void) {
  enum { I, X, Y };
  static const int program[] = {
      /*  0 */ LOAD, X, PUSH, 1103515245, MUL, LOAD, X, PUSH, 7, SHR, PEEK, ADD, LOAD, I, ADD, STORE, X,
      /* 17 */ LOAD, I, LOAD, X, LOAD, I, XOR, POKE,
      /* 25 */ LOAD, X, PUSH, 1, AND, JUMP_IF, 34, JUMP, 41,
      /* 34 */ LOAD, Y, LOAD, X, ADD, STORE, Y,
      /* 41 */ LOAD, I, PUSH, 1, ADD, DUP, STORE, I,
      /* 49 */ PUSH, 500000, LESS, JUMP_IF, 0,
      /* 54 */ LOAD, Y, HALT};
  uint64_t memory[1024] = {0}, variables[3] = {0, 12345, 0};
  return interpret(program, memory, variables);
}

const Test text_tests[] = {{"strings", strings}, {"byte_code", byte_code}, {0, 0}};
