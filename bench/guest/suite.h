/* The frame of the guest suite: every test does a fixed amount of work and returns a checksum of what it computed. */
#ifndef SUITE_H
#define SUITE_H
#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char *name;
  uint64_t (*run)(void);
} Test;

extern const Test integer_tests[], float_tests[], text_tests[], kernel_tests[]; /* each ends with a null name */

/* One step of a 64-bit linear congruential generator with an xorshift finish: same numbers on every machine. */
static inline uint64_t next_random(uint64_t *state) {
  uint64_t x = *state = *state * 6364136223846793005u + 1442695040888963407u;
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdu;
  return x ^ (x >> 29);
}

/* Folds a value into a checksum. */
static inline uint64_t fold(uint64_t sum, uint64_t value) { return (sum ^ value) * 0x100000001b3u; }

/* Folds the bits of a double: results of floating point must be equal to the last bit. */
static inline uint64_t fold_double(uint64_t sum, double value) {
  union {
    double d;
    uint64_t u;
  } bits = {value};
  return fold(sum, bits.u);
}

/* Ends the program with a message and status 1. */
void fail(const char *what) __attribute__((noreturn));
/* malloc that does not fail. */
void *obtain(size_t bytes);
#endif
