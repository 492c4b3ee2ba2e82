// The least that a port-I/O exit of KVM costs: a loop around KVM_RUN that looks at the exit and enters again.
// As a program with a VM of its own; as a library, the same VM in the caller's thread (port_io_open), and the same loop for a
// vCPU that somebody else has made.
//   port-io EXITS    for each byte of standard input a round of so many exits, after a tenth of them to warm up;
//                    prints nanoseconds of CPU time and of wall time for each exit
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define RAM_SIZE 0x80000
#define CODE 0x7c00

static double cpu_ns(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * 1e9 + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * 1e3;
}

static double wall_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e9 + now.tv_nsec;
}

static int need(int result, const char *what) {
  if (result >= 0) return result;
  perror(what);
  exit(1);
}

/** So many exits of any vCPU that does nothing but OUT; how many are left when somebody ends KVM_RUN, or -1. */
long port_io_loop(int vcpu, volatile struct kvm_run *run, long exits) {
  static unsigned long sum;
  for (; exits > 0; exits--) {
    if (ioctl(vcpu, KVM_RUN, 0) < 0) return exits;
    if (run->exit_reason != KVM_EXIT_IO || run->io.direction != KVM_EXIT_IO_OUT) return -1;
    sum += ((volatile uint8_t *)run)[run->io.data_offset] + run->io.port;
  }
  return 0;
}

/** A VM with nothing but that guest; its vCPU, and the page shared with KVM in *shared. */
int port_io_open(void **shared) {
  // mov dx, 0x3f8; again: out dx, al; jmp again
  static const uint8_t code[] = {0xba, 0xf8, 0x03, 0xee, 0xeb, 0xfd};
  int kvm = need(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
  int vm = need(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
  need(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
  uint8_t *ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memcpy(ram + CODE, code, sizeof code);
  struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE, .userspace_addr = (uint64_t)ram};
  need(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
  int vcpu = need(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
  int size = need(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
  struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  need(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
  sregs.cs.base = sregs.cs.selector = 0;
  need(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
  struct kvm_regs regs = {.rip = CODE, .rflags = 2};
  need(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");
  *shared = run;
  return vcpu;
}

int main(int argc, char **argv) {
  long exits = argc > 1 ? atol(argv[1]) : 100000;
  void *run;
  int vcpu = port_io_open(&run);
  while (getchar() != EOF) {
    if (port_io_loop(vcpu, run, exits / 10) != 0) return 1;
    double cpu = cpu_ns();
    double wall = wall_ns();
    if (port_io_loop(vcpu, run, exits) != 0) return 1;
    printf("%.1f %.1f\n", (cpu_ns() - cpu) / exits, (wall_ns() - wall) / exits);
    fflush(stdout);
  }
  return 0;
}
