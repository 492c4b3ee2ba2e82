/*
 * suite [-r REPEATS] [NAME...]           runs the named tests, or all
 * suite --time NAME REPEATS COMMAND...   runs a command; the checksum is of its output
 * suite --text                           prints 4 MB of made-up text, the same on every machine
 * suite --clock                          prints CLOCK and this machine's monotonic clock in milliseconds, 10 times
 * suite --exit                           ends with status 7 (what the fork+exec test runs)
 * Each run of a test prints two lines, before and after:
 *   START name
 *   RESULT name milliseconds checksum cpu-milliseconds
 * Milliseconds are of this machine's monotonic clock; CPU time is this process's and its children's.
 */
#include "suite.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const Test *const groups[] = {integer_tests, float_tests, text_tests, kernel_tests};

void fail(const char *what) {
  fflush(stdout);
  perror(what);
  exit(1);
}

void *obtain(size_t bytes) {
  void *p = malloc(bytes);
  if (!p) fail("malloc");
  return p;
}

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double cpu_ms(void) {
  double sum = 0;
  const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
  for (int i = 0; i < 2; i++) {
    struct rusage usage;
    getrusage(whose[i], &usage);
    sum += (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3;
    sum += (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
  }
  return sum;
}

typedef struct {
  double wall, cpu;
} Moment;

static Moment now(void) { return (Moment){now_ms(), cpu_ms()}; }

static Moment announce(const char *name) {
  printf("START %s\n", name);
  fflush(stdout);
  return now();
}

static void report(const char *name, Moment start, uint64_t checksum) {
  Moment end = now();
  printf("RESULT %s %.3f %016llx %.3f\n", name, end.wall - start.wall, (unsigned long long)checksum, end.cpu - start.cpu);
  fflush(stdout);
}

static int is_wanted(const char *name, char **names, int count) {
  if (count == 0) return 1;
  for (int i = 0; i < count; i++)
    if (strcmp(names[i], name) == 0) return 1;
  return 0;
}

static void run_tests(int repeats, char **names, int count) {
  for (size_t g = 0; g < sizeof groups / sizeof *groups; g++) {
    for (const Test *test = groups[g]; test->name; test++) {
      if (!is_wanted(test->name, names, count)) continue;
      for (int r = 0; r < repeats; r++) {
        Moment start = announce(test->name);
        uint64_t checksum = test->run();
        report(test->name, start, checksum);
      }
    }
  }
}

/* Runs a command to its end and folds what it prints. */
static uint64_t run_command(char **command) {
  int ends[2];
  if (pipe(ends)) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    dup2(ends[1], 1);
    close(ends[0]);
    close(ends[1]);
    execvp(command[0], command);
    _exit(127);
  }
  close(ends[1]);
  uint64_t sum = 0;
  unsigned char block[4096];
  ssize_t n;
  while ((n = read(ends[0], block, sizeof block)) > 0)
    for (ssize_t i = 0; i < n; i++) sum = fold(sum, block[i]);
  close(ends[0]);
  int status;
  waitpid(child, &status, 0);
  return fold(sum, (uint64_t)status);
}

/* Words of a small vocabulary, numbers, and now and then bytes of chance: compresses to some 60 %. */
static void print_text(void) {
  uint64_t seed = 77;
  size_t left = 4 << 20;
  while (left > 0) {
    char word[32];
    uint64_t x = next_random(&seed);
    unsigned kind = x & 15;
    int n = 0;
    if (kind < 11) {
      uint64_t letters = (x >> 8) % 2000 * 0x9e3779b97f4a7c15u;
      for (unsigned k = 3 + (letters >> 60) % 6; k > 0; k--, letters /= 19) word[n++] = (char)('a' + letters % 19);
    } else if (kind < 14) {
      n = sprintf(word, "%u", (unsigned)(x >> 44));
    } else {
      while (n < 8) word[n] = (char)(x >> (8 * n)), n++;
    }
    word[n++] = kind == 5 ? '\n' : ' ';
    if ((size_t)n > left) n = (int)left;
    fwrite(word, 1, (size_t)n, stdout);
    left -= (size_t)n;
  }
}

int main(int argc, char **argv) {
  const char *option = argc > 1 ? argv[1] : "";
  if (strcmp(option, "--exit") == 0) return 7;
  if (strcmp(option, "--text") == 0) {
    print_text();
  } else if (strcmp(option, "--clock") == 0) {
    for (int i = 0; i < 10; i++) {
      printf("CLOCK %.3f\n", now_ms());
      fflush(stdout);
      usleep(20000);
    }
  } else if (strcmp(option, "--time") == 0 && argc > 4) {
    for (int r = atoi(argv[3]); r > 0; r--) {
      Moment start = announce(argv[2]);
      uint64_t checksum = run_command(argv + 4);
      report(argv[2], start, checksum);
    }
  } else if (strcmp(option, "-r") == 0 && argc > 2) {
    run_tests(atoi(argv[2]), argv + 3, argc - 3);
  } else {
    run_tests(1, argv + 1, argc - 1);
  }
  return 0;
}
