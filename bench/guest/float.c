/* Double-precision work. Built without -ffast-math and without contraction, so that results are equal to the bit. */
#include "suite.h"
#include <math.h>

enum { ORDER = 200 };
static double left[ORDER][ORDER], right[ORDER][ORDER], product[ORDER][ORDER];

/* Double matrices by the loop order that walks rows (the compiler may use packed instructions). */
static uint64_t matmul_double(void) {
  uint64_t seed = 5, sum = 0;
  for (int i = 0; i < ORDER; i++)
    for (int j = 0; j < ORDER; j++) {
      left[i][j] = (double)(next_random(&seed) & 0xfffff) / 1048576.0;
      right[i][j] = (double)(next_random(&seed) & 0xfffff) / 1048576.0;
      product[i][j] = 0;
    }
  for (int i = 0; i < ORDER; i++)
    for (int k = 0; k < ORDER; k++) {
      double x = left[i][k];
      for (int j = 0; j < ORDER; j++) product[i][j] += x * right[k][j];
    }
  for (int i = 0; i < ORDER; i++)
    for (int j = 0; j < ORDER; j++) sum = fold_double(sum, product[i][j]);
  return sum;
}

typedef struct {
  double x, y, z, vx, vy, vz, mass;
} Body;

/* Five bodies under gravity, 60,000 steps of the leapfrog kind: adds, multiplies, a division and a square root. */
static uint64_t nbody(void) {
  Body bodies[5];
  uint64_t seed = 11, sum = 0;
  for (int i = 0; i < 5; i++) {
    double *f = &bodies[i].x;
    for (int k = 0; k < 6; k++) f[k] = (double)(next_random(&seed) & 0xffff) / 65536.0 - 0.5;
    for (int k = 0; k < 3; k++) f[k] *= 20;
    bodies[i].mass = 0.1 + i * 0.3;
  }
  for (int step = 0; step < 60000; step++) {
    for (int i = 0; i < 5; i++)
      for (int j = i + 1; j < 5; j++) {
        Body *a = &bodies[i], *b = &bodies[j];
        double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
        double d2 = dx * dx + dy * dy + dz * dz + 0.01;
        double f = 0.001 / (d2 * sqrt(d2));
        a->vx -= dx * b->mass * f;
        a->vy -= dy * b->mass * f;
        a->vz -= dz * b->mass * f;
        b->vx += dx * a->mass * f;
        b->vy += dy * a->mass * f;
        b->vz += dz * a->mass * f;
      }
    for (int i = 0; i < 5; i++) {
      bodies[i].x += 0.001 * bodies[i].vx;
      bodies[i].y += 0.001 * bodies[i].vy;
      bodies[i].z += 0.001 * bodies[i].vz;
    }
  }
  for (int i = 0; i < 5; i++) sum = fold_double(fold_double(fold_double(sum, bodies[i].x), bodies[i].y), bodies[i].z);
  return sum;
}

const Test float_tests[] = {{"matmul_double", matmul_double}, {"nbody", nbody}, {0, 0}};
