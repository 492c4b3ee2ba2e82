/* Integer work: loops over arrays, calls, branches that cannot be foreseen, and 64-bit arithmetic. */
#include "suite.h"
#include <stdlib.h>
#include <string.h>

/* The primes below 2,000,000 by the sieve of Eratosthenes, on bytes, four times over. */
static uint64_t sieve(void) {
  enum { LIMIT = 2000000 };
  unsigned char *composite = obtain(LIMIT);
  uint64_t sum = 0;
  for (int round = 0; round < 4; round++) {
    memset(composite, 0, LIMIT);
    for (size_t i = 2; i * i < LIMIT; i++)
      if (!composite[i])
        for (size_t j = i * i; j < LIMIT; j += i) composite[j] = 1;
    uint64_t count = 0;
    for (size_t i = 2; i < LIMIT; i++) count += !composite[i];
    sum = fold(sum, count);
  }
  free(composite);
  return sum;
}

enum { ORDER = 224 };
static int left[ORDER][ORDER], right[ORDER][ORDER], product[ORDER][ORDER];

/* 32-bit integer matrices by the textbook triple loop (inner loop walks a column). */
static uint64_t matmul_int(void) {
  uint64_t seed = 1, sum = 0;
  for (int i = 0; i < ORDER; i++)
    for (int j = 0; j < ORDER; j++) {
      left[i][j] = (int)(next_random(&seed) & 0xffff);
      right[i][j] = (int)(next_random(&seed) & 0xffff);
    }
  for (int round = 0; round < 2; round++) {
    for (int i = 0; i < ORDER; i++)
      for (int j = 0; j < ORDER; j++) {
        unsigned total = 0;
        for (int k = 0; k < ORDER; k++) total += (unsigned)left[i][k] * (unsigned)right[k][j];
        product[i][j] = (int)total;
      }
    left[round][round] += product[3][5];
  }
  for (int i = 0; i < ORDER; i++)
    for (int j = 0; j < ORDER; j++) sum = fold(sum, (unsigned)product[i][j]);
  return sum;
}

static __attribute__((noinline, noclone)) unsigned fib_of(unsigned n) {
  if (n < 2) return n;
  unsigned a = fib_of(n - 1);
  __asm__ volatile("" : "+r"(a)); /* keeps the compiler from unrolling the recursion */
  return a + fib_of(n - 2);
}

/* Recursive Fibonacci: calls and returns, nothing else. */
static uint64_t fib(void) { return fib_of(33); }

static void sort(uint32_t *a, long low, long high) {
  while (low < high) {
    uint32_t pivot = a[low + (high - low) / 2];
    long i = low, j = high;
    while (i <= j) {
      while (a[i] < pivot) i++;
      while (a[j] > pivot) j--;
      if (i <= j) {
        uint32_t t = a[i];
        a[i++] = a[j];
        a[j--] = t;
      }
    }
    if (j - low < high - i) {
      sort(a, low, j);
      low = i;
    } else {
      sort(a, i, high);
      high = j;
    }
  }
}

/* Quicksort of a million random 32-bit numbers. */
static uint64_t quicksort(void) {
  enum { COUNT = 1000000 };
  uint32_t *a = obtain(COUNT * sizeof *a);
  uint64_t seed = 42, sum = 0;
  for (int i = 0; i < COUNT; i++) a[i] = (uint32_t)next_random(&seed);
  sort(a, 0, COUNT - 1);
  for (int i = 0; i < COUNT; i += 1000) sum = fold(sum, a[i]);
  for (int i = 1; i < COUNT; i++) sum += a[i - 1] > a[i];
  free(a);
  return sum;
}

/* The C library's memcpy, memmove and memset on blocks from 16 bytes to 1 MiB; about 400 MB in all. */
static uint64_t memory_blocks(void) {
  enum { SPAN = 1 << 21 };
  unsigned char *from = obtain(SPAN), *to = obtain(SPAN);
  uint64_t seed = 7, sum = 0;
  for (size_t i = 0; i < SPAN; i++) from[i] = (unsigned char)next_random(&seed);
  memset(to, 0, SPAN);
  for (size_t size = 16; size <= 1 << 20; size *= 4) {
    size_t rounds = (16u << 20) / size;
    if (rounds > 120000) rounds = 120000;
    for (size_t r = 0; r < rounds; r++) {
      size_t at = (r * 4099) & (SPAN / 2 - 1);
      memcpy(to + at, from + (at ^ 64), size);
      memmove(to + at + 3, to + at, size);
      memset(from + at, (int)(r & 255), size / 2);
    }
    for (size_t i = 0; i < SPAN; i += 997) sum = fold(sum, to[i]);
  }
  free(from);
  free(to);
  return sum;
}

/* An open-addressing hash map: 300,000 insertions, 1,200,000 look-ups, 100,000 removals. */
static uint64_t hash_map(void) {
  enum { SLOTS = 1 << 20, KEYS = 300000 };
  uint64_t *keys = calloc(SLOTS, sizeof *keys), *values = calloc(SLOTS, sizeof *values);
  if (!keys || !values) fail("calloc");
  uint64_t seed = 99, sum = 0;
  for (int i = 0; i < KEYS; i++) {
    uint64_t key = next_random(&seed) | 1;
    size_t slot = (key * 0x9e3779b97f4a7c15u) >> 44;
    while (keys[slot] && keys[slot] != key) slot = (slot + 1) & (SLOTS - 1);
    keys[slot] = key;
    values[slot] = (uint64_t)i;
  }
  for (int round = 0; round < 4; round++) {
    seed = round & 1 ? 98 : 99; /* every other round looks for keys that are not there */
    for (int i = 0; i < KEYS; i++) {
      uint64_t key = next_random(&seed) | 1;
      size_t slot = (key * 0x9e3779b97f4a7c15u) >> 44;
      while (keys[slot] && keys[slot] != key) slot = (slot + 1) & (SLOTS - 1);
      if (keys[slot] == key) {
        sum += values[slot];
        if (round == 2 && i < 100000) values[slot] = ~(uint64_t)0;
      }
    }
    sum = fold(sum, (uint64_t)round);
  }
  free(keys);
  free(values);
  return sum;
}

/* CRC-32 (polynomial of IEEE 802.3, reflected), a byte at a time by table, of 16 MB. */
static uint64_t crc32(void) {
  enum { SIZE = 1 << 20 };
  uint32_t table[256];
  for (uint32_t n = 0; n < 256; n++) {
    uint32_t c = n;
    for (int k = 0; k < 8; k++) c = c & 1 ? 0xedb88320u ^ (c >> 1) : c >> 1;
    table[n] = c;
  }
  unsigned char *data = obtain(SIZE);
  uint64_t seed = 3;
  for (size_t i = 0; i < SIZE; i++) data[i] = (unsigned char)next_random(&seed);
  uint32_t crc = ~0u;
  for (int round = 0; round < 16; round++)
    for (size_t i = 0; i < SIZE; i++) crc = table[(crc ^ data[i]) & 255] ^ (crc >> 8);
  free(data);
  return ~crc;
}

#define OPERATION(name, expression) \
  static __attribute__((noinline)) uint64_t name(uint64_t x, uint64_t i) { return (void)i, expression; }
OPERATION(op_add, x + i)
OPERATION(op_xor, x ^ (i * 3))
OPERATION(op_mul, x *(i | 1))
OPERATION(op_shift, (x << 3) ^ (x >> 7))
OPERATION(op_sub, x - (i << 2))
OPERATION(op_not, ~x + i)
OPERATION(op_swap, __builtin_bswap64(x))
OPERATION(op_rotate, (x << 13) | (x >> 51))
static uint64_t (*volatile const operations[8])(uint64_t, uint64_t) = {op_add, op_xor, op_mul, op_shift,
                                                                        op_sub, op_not, op_swap, op_rotate};

/* Ten million calls through a table of function pointers, the target chosen by the running value. */
static uint64_t indirect_calls(void) {
  uint64_t x = 1;
  for (uint64_t i = 0; i < 10000000; i++) x = operations[(x >> 11) & 7](x, i);
  return x;
}

typedef struct {
  uint64_t low, high;
} Wide;

static inline Wide wide_product(uint64_t a, uint64_t b) {
#ifdef __SIZEOF_INT128__
  unsigned __int128 product = (unsigned __int128)a * b;
  return (Wide){(uint64_t)product, (uint64_t)(product >> 64)};
#else /* a 32-bit build */
  uint64_t low = (a & 0xffffffff) * (b & 0xffffffff), high = (a >> 32) * (b >> 32);
  uint64_t one = (a >> 32) * (b & 0xffffffff), other = (a & 0xffffffff) * (b >> 32);
  uint64_t middle = (low >> 32) + (one & 0xffffffff) + (other & 0xffffffff);
  return (Wide){middle << 32 | (low & 0xffffffff), high + (one >> 32) + (other >> 32) + (middle >> 32)};
#endif
}

/* Multiply, 128-bit multiply, add with carry, rotate, divide, population count of 64-bit numbers. */
static uint64_t mix64(void) {
  uint64_t a = 0x123456789abcdefu, b = 0xfedcba987654321u, c = 0, sum = 0;
  for (uint64_t i = 1; i <= 2000000; i++) {
    Wide wide = wide_product(a, b | 1);
    a = wide.low ^ wide.high;
    b += wide.low;
    c += wide.high + (b < wide.low);
    a = (a << 17 | a >> 47) + (b >> (i & 63));
    if ((i & 3) == 0) sum += a / ((b >> 32) | 1) + b % (i + 5);
    sum += (uint64_t)__builtin_ctzll(a | (1ull << 40));
    sum = (sum >> 5 | sum << 59) ^ c;
  }
  return sum;
}

const Test integer_tests[] = {{"sieve", sieve},
                              {"matmul_int", matmul_int},
                              {"fib", fib},
                              {"quicksort", quicksort},
                              {"memory_blocks", memory_blocks},
                              {"hash_map", hash_map},
                              {"crc32", crc32},
                              {"indirect_calls", indirect_calls},
                              {"mix64", mix64},
                              {0, 0}};
