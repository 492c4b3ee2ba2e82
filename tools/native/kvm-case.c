// Runs system-instruction cases on the host's processor under KVM, for the judge in test/system.
//
// Standard input: cases of 1 KiB of vCPU state (offsets of src/x86/state.ts; RFLAGS whole in its slot) and 64 KiB of
// guest RAM. Standard output for each: a u32 (KVM exit reason, 0 when it timed out), the same state and RAM afterwards.
// A case ends at the first HLT of CPL 0, or in shutdown.
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

enum {
  STATE_SIZE = 1024, RAM_SIZE = 65536,
  GPR = 0, RIP = 136, RFLAGS = 184, SEGMENT = 256, SEGMENT_STRIDE = 24, GDTR = 448, IDTR = 464,
  CR0 = 480, CR2 = 488, CR3 = 496, CR4 = 504, EFER = 528,
};

static uint8_t state[STATE_SIZE];
static uint8_t *ram;

static uint64_t get64(int at) { uint64_t v; memcpy(&v, state + at, 8); return v; }
static uint32_t get32(int at) { uint32_t v; memcpy(&v, state + at, 4); return v; }
static void put64(int at, uint64_t v) { memcpy(state + at, &v, 8); }
static void put32(int at, uint32_t v) { memcpy(state + at, &v, 4); }

static void fail(const char *what) { perror(what); exit(1); }

static int transfer(int fd, void *buffer, size_t size, int out) {
  for (size_t done = 0; done < size;) {
    char *p = (char *)buffer + done;
    ssize_t n = out ? write(fd, p, size - done) : read(fd, p, size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return 0;
    done += n;
  }
  return 1;
}

static struct kvm_segment to_segment(int index) {
  int at = SEGMENT + index * SEGMENT_STRIDE;
  uint32_t a = get32(at + 12);
  struct kvm_segment s = {.base = get64(at), .limit = get32(at + 8), .selector = get32(at + 16), .type = a & 15,
    .s = (a >> 4) & 1, .dpl = (a >> 5) & 3, .present = (a >> 7) & 1, .avl = (a >> 12) & 1, .l = (a >> 13) & 1,
    .db = (a >> 14) & 1, .g = (a >> 15) & 1, .unusable = (a >> 16) & 1};
  if (s.unusable) s.present = 0;
  return s;
}

static void from_segment(int index, const struct kvm_segment *s) {
  int at = SEGMENT + index * SEGMENT_STRIDE;
  put64(at, s->base);
  put32(at + 8, s->limit);
  put32(at + 12, s->type | s->s << 4 | s->dpl << 5 | s->present << 7 | s->avl << 12 | s->l << 13 | s->db << 14 |
    s->g << 15 | (s->unusable || !s->present) << 16);
  put32(at + 16, s->selector);
}

static void on_alarm(int signal) { (void)signal; }

int main(void) {
  struct sigaction action = {.sa_handler = on_alarm};
  sigaction(SIGALRM, &action, 0);
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0) fail("/dev/kvm");
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) fail("KVM_CREATE_VM");
  ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000);
  ram = mmap(0, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  struct kvm_userspace_memory_region region = {.memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) fail("KVM_SET_USER_MEMORY_REGION");
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu < 0) fail("KVM_CREATE_VCPU");
  struct kvm_run *run = mmap(0, ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  static struct { struct kvm_cpuid2 head; struct kvm_cpuid_entry2 entries[256]; } cpuid = {.head.nent = 256};
  if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid) < 0 || ioctl(vcpu, KVM_SET_CPUID2, &cpuid) < 0) fail("CPUID");
  struct kvm_sregs clean;
  ioctl(vcpu, KVM_GET_SREGS, &clean);

  while (transfer(0, state, STATE_SIZE, 0) && transfer(0, ram, RAM_SIZE, 0)) {
    struct kvm_sregs s = clean;
    struct kvm_segment *segments[] = {&s.es, &s.cs, &s.ss, &s.ds, &s.fs, &s.gs, &s.ldt, &s.tr};
    for (int n = 0; n < 8; n++) *segments[n] = to_segment(n);
    s.gdt.base = get64(GDTR); s.gdt.limit = get32(GDTR + 8);
    s.idt.base = get64(IDTR); s.idt.limit = get32(IDTR + 8);
    s.cr0 = get64(CR0); s.cr2 = get64(CR2); s.cr3 = get64(CR3); s.cr4 = get64(CR4); s.efer = get64(EFER);
    struct kvm_regs r = {.rip = get64(RIP), .rflags = get64(RFLAGS)};
    __u64 *gprs[] = {&r.rax, &r.rcx, &r.rdx, &r.rbx, &r.rsp, &r.rbp, &r.rsi, &r.rdi, &r.r8, &r.r9, &r.r10, &r.r11,
      &r.r12, &r.r13, &r.r14, &r.r15};
    for (int n = 0; n < 16; n++) *gprs[n] = get64(GPR + n * 8);
    struct kvm_vcpu_events events = {0};
    ioctl(vcpu, KVM_SET_VCPU_EVENTS, &events);
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    ioctl(vcpu, KVM_SET_MP_STATE, &runnable);
    uint32_t reason;
    if (ioctl(vcpu, KVM_SET_SREGS, &s) < 0 || ioctl(vcpu, KVM_SET_REGS, &r) < 0) {
      reason = 0xffff; // the host refuses the initial state
    } else {
      struct itimerval timer = {.it_value = {.tv_usec = 200000}}, off = {0};
      setitimer(ITIMER_REAL, &timer, 0);
      reason = ioctl(vcpu, KVM_RUN, 0) < 0 ? 0 : run->exit_reason;
      setitimer(ITIMER_REAL, &off, 0);
      ioctl(vcpu, KVM_GET_SREGS, &s);
      ioctl(vcpu, KVM_GET_REGS, &r);
      for (int n = 0; n < 8; n++) from_segment(n, segments[n]);
      for (int n = 0; n < 16; n++) put64(GPR + n * 8, *gprs[n]);
      put64(RIP, r.rip); put64(RFLAGS, r.rflags);
      put64(CR0, s.cr0); put64(CR2, s.cr2); put64(CR3, s.cr3); put64(CR4, s.cr4); put64(EFER, s.efer);
    }
    if (!transfer(1, &reason, 4, 1) || !transfer(1, state, STATE_SIZE, 1) || !transfer(1, ram, RAM_SIZE, 1)) break;
  }
  return 0;
}
