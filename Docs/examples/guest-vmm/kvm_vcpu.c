/* Real vCPUs: making them and running the guest. kvm_state.c saves and restores them. */
#define _GNU_SOURCE
#include "kvm_vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kvm_vcpus.h"

static int open_kvm(void) {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  return kvm < 0 ? -errno : kvm;
}

int kvm_vm_new(void) {
  int kvm = open_kvm(), vm;
  if (kvm < 0) return kvm;
  vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) vm = -errno;
  close(kvm);
  return vm;
}

int kvm_can_run(void) {
  /* The preload library's stand-in for /dev/kvm has no processor: KVM_RUN says ENODEV there. */
  int vm = kvm_vm_new(), vcpu, result = 0;
  if (vm < 0) return 0;
  vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  if (vcpu >= 0) {
    result = ioctl(vcpu, KVM_RUN, 0) == 0 || errno != ENODEV;
    close(vcpu);
  }
  close(vm);
  return result;
}

/* ---- making ---- */

static int number_of_msrs(int kvm, struct kvm_vcpus *all) {
  struct {
    struct kvm_msr_list list;
    uint32_t indices[MOST_MSRS];
  } room = {.list = {.nmsrs = MOST_MSRS}};
  if (ioctl(kvm, KVM_GET_MSR_INDEX_LIST, &room) < 0) return -errno;
  all->msr_count = room.list.nmsrs;
  memcpy(all->msrs, room.indices, room.list.nmsrs * sizeof *room.indices);
  return 0;
}

/* Which of the host's MSRs can be read from this vCPU; found out once. */
static void keep_readable_msrs(struct kvm_vcpus *all, int vcpu) {
  uint32_t kept = 0;
  for (uint32_t index = 0; index < all->msr_count; index++) {
    struct {
      struct kvm_msrs head;
      struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = {.index = all->msrs[index]}};
    if (ioctl(vcpu, KVM_GET_MSRS, &one) == 1) all->msrs[kept++] = all->msrs[index];
  }
  all->msr_count = kept;
}

static void set_apic_id(struct cpuid_table *table, uint32_t id) {
  for (uint32_t index = 0; index < table->head.nent; index++) {
    struct kvm_cpuid_entry2 *entry = &table->entries[index];
    if (entry->function == 1) entry->ebx = (entry->ebx & 0x00FFFFFF) | id << 24;
    if (entry->function == 0xB || entry->function == 0x1F) entry->edx = id;
  }
}

static int set_memory(int vm, const struct ram *ram, uint32_t flags) {
  uint64_t low = ram->size < GUEST_LOW_SIZE ? ram->size : GUEST_LOW_SIZE;
  struct kvm_userspace_memory_region region = {
      .flags = flags, .memory_size = low, .userspace_addr = (uintptr_t)ram->base};
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0) return -errno;
  if (ram->size == low) return 0;
  region.slot = 1;
  region.guest_phys_addr = GUEST_LOW_SIZE + GUEST_HOLE_SIZE;
  region.memory_size = ram->size - low;
  region.userspace_addr = (uintptr_t)ram->base + low;
  return ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) < 0 ? -errno : 0;
}

int kvm_vcpus_log_writes(struct kvm_vcpus *all, int is_on) {
  return set_memory(all->vm, all->ram, is_on ? KVM_MEM_LOG_DIRTY_PAGES : 0);
}

int kvm_vcpus_take_writes(struct kvm_vcpus *all, uint64_t *pages) {
  const uint64_t words = (all->ram->size / GUEST_PAGE + 63) / 64, low = GUEST_LOW_SIZE / GUEST_PAGE / 64;
  const uint32_t slots = all->ram->size > GUEST_LOW_SIZE ? 2 : 1;
  uint64_t *log = calloc(words, sizeof *log);
  int result = log == NULL ? -ENOMEM : 0;
  /* The kernel overwrites; both slots begin with a word of their own, as RAM is a multiple of 2 MiB. */
  for (uint32_t slot = 0; slot < slots && result == 0; slot++) {
    struct kvm_dirty_log request = {.slot = slot, .dirty_bitmap = log + (slot == 0 ? 0 : low)};
    if (ioctl(all->vm, KVM_GET_DIRTY_LOG, &request) < 0) result = -errno;
  }
  for (uint64_t word = 0; word < words && result == 0; word++) pages[word] |= log[word];
  free(log);
  return result;
}

/* Interrupt controllers before vCPUs, PIT and memory in between, as KVM wants it. */
static int furnish(int vm, const struct ram *ram) {
  uint64_t identity_map = 0xFFFBC000;
  struct kvm_pit_config pit = {0};
  if (ioctl(vm, KVM_SET_TSS_ADDR, 0xFFFBD000ul) < 0 || ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0
      || ioctl(vm, KVM_CREATE_IRQCHIP, 0) < 0 || ioctl(vm, KVM_CREATE_PIT2, &pit) < 0)
    return -errno;
  return set_memory(vm, ram, 0);
}

static void ignore(int number) { (void)number; }
static int kick_signal(void) { return SIGRTMIN + 7; }

static void *serve(void *context);

static int make_vcpu(struct kvm_vcpus *all, uint32_t index, int run_size) {
  struct kvm_vcpu *vcpu = &all->vcpus[index];
  struct kvm_device_attr offset = {.group = KVM_VCPU_TSC_CTRL, .attr = KVM_VCPU_TSC_OFFSET};
  int error;
  vcpu->fd = ioctl(all->vm, KVM_CREATE_VCPU, (unsigned long)index);
  if (vcpu->fd < 0) return -errno;
  all->count = index + 1;
  vcpu->all = all;
  vcpu->index = index;
  vcpu->run = mmap(NULL, (size_t)run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
  if (vcpu->run == MAP_FAILED) {
    vcpu->run = NULL;
    return -errno;
  }
  vcpu->run_size = (size_t)run_size;
  set_apic_id(&all->cpuid, index);
  if (ioctl(vcpu->fd, KVM_SET_CPUID2, &all->cpuid) < 0) return -errno;
  vcpu->has_tsc_offset = ioctl(vcpu->fd, KVM_HAS_DEVICE_ATTR, &offset) == 0;
  if (index == 0) keep_readable_msrs(all, vcpu->fd);
  gate_init(&vcpu->gate);
  error = pthread_create(&vcpu->thread, NULL, serve, vcpu);
  vcpu->has_thread = error == 0;
  return -error;
}

struct kvm_vcpus *kvm_vcpus_new(int vm, const struct ram *ram, struct devices *devices, uint32_t count) {
  struct kvm_vcpus *all = calloc(1, sizeof *all);
  struct sigaction action = {.sa_handler = ignore};
  int kvm = open_kvm(), result = kvm < 0 ? kvm : 0, run_size = 0;
  if (all == NULL) return NULL;
  all->vm = vm;
  all->ram = ram;
  all->devices = devices;
  sigaction(kick_signal(), &action, NULL);
  if (result == 0) result = number_of_msrs(kvm, all);
  if (result == 0) {
    all->cpuid.head.nent = MOST_CPUID_ENTRIES;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &all->cpuid) < 0) result = -errno;
    run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    all->xsave_size = ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_XSAVE2);
    if (all->xsave_size < (int)sizeof(struct kvm_xsave)) all->xsave_size = (int)sizeof(struct kvm_xsave);
  }
  if (kvm >= 0) close(kvm);
  if (result == 0) result = furnish(vm, ram);
  for (uint32_t index = 0; result == 0 && index < count; index++) result = make_vcpu(all, index, run_size);
  if (result == 0) return all;
  kvm_vcpus_free(all);
  errno = -result;
  return NULL;
}

void kvm_vcpus_free(struct kvm_vcpus *all) {
  if (all == NULL) return;
  for (uint32_t index = 0; index < all->count; index++)
    if (all->vcpus[index].has_thread) gate_end(&all->vcpus[index].gate);
  for (uint32_t index = 0; index < all->count; index++) {
    struct kvm_vcpu *vcpu = &all->vcpus[index];
    if (vcpu->has_thread) pthread_join(vcpu->thread, NULL);
    if (vcpu->run != NULL) munmap(vcpu->run, vcpu->run_size);
    close(vcpu->fd);
  }
  free(all);
}

uint64_t kvm_vcpus_tick_kilohertz(const struct kvm_vcpus *all) {
  int kilohertz = ioctl(all->vcpus[0].fd, KVM_GET_TSC_KHZ, 0);
  return kilohertz > 0 ? (uint64_t)kilohertz : 1000000;
}

int kvm_vcpus_have_kvmclock(const struct kvm_vcpus *all) {
  for (uint32_t index = 0; index < all->cpuid.head.nent; index++)
    if (all->cpuid.entries[index].function == 0x40000001) return (all->cpuid.entries[index].eax >> 3) & 1;
  return 0;
}

static struct kvm_segment flat(uint16_t selector, uint8_t type, uint8_t is_code) {
  return (struct kvm_segment){.limit = UINT32_MAX, .selector = selector, .type = type, .present = 1, .s = 1,
                              .db = !is_code, .l = is_code, .g = 1};
}

int kvm_vcpus_prepare_start(struct kvm_vcpus *all) {
  for (uint32_t index = 0; index < all->count; index++) {
    struct kvm_mp_state runnable = {.mp_state = KVM_MP_STATE_RUNNABLE};
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rdi = index, .rsp = GUEST_STACKS + (uint64_t)(index + 1) * GUEST_PAGE,
                            .rip = GUEST_IMAGE, .rflags = 2};
    int fd = all->vcpus[index].fd;
    if (ioctl(fd, KVM_SET_MP_STATE, &runnable) < 0 || ioctl(fd, KVM_GET_SREGS, &sregs) < 0) return -errno;
    sregs.cs = flat(0x08, 0xB, 1);
    sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = flat(0x10, 0x3, 0);
    sregs.tr = (struct kvm_segment){.limit = 0x67, .type = 0xB, .present = 1};
    sregs.gdt.base = GUEST_DESCRIPTOR_TABLE;
    sregs.gdt.limit = 3 * 8 - 1;
    sregs.idt.base = GUEST_INTERRUPT_TABLE;
    sregs.idt.limit = 256 * 16 - 1;
    sregs.cr0 = 0x80000031; /* PG, NE, ET, PE */
    sregs.cr3 = GUEST_PAGE_TABLES;
    sregs.cr4 = 0x20;   /* PAE */
    sregs.efer = 0x500; /* LMA, LME */
    if (ioctl(fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(fd, KVM_SET_REGS, &regs) < 0) return -errno;
  }
  return 0;
}

/* ---- running ---- */

static void set_immediate_exit(struct kvm_vcpu *vcpu, uint8_t value) {
  __atomic_store_n(&vcpu->run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

static int enter(struct kvm_vcpu *vcpu) {
  if (ioctl(vcpu->fd, KVM_RUN, 0) == 0) return 0;
  return errno == EINTR || errno == EAGAIN ? -EINTR : -errno;
}

/* Ports of the console and the disk. Output that nobody has room for holds the vCPU here; when it is to park
 * meanwhile, the output stays with the console and travels with its state. */
static void serve_port(struct kvm_vcpu *vcpu, uint32_t permission) {
  struct kvm_run *run = vcpu->run;
  uint8_t *data = (uint8_t *)run + run->io.data_offset;
  uint32_t size = (uint32_t)run->io.size * run->io.count;
  if (run->io.direction == KVM_EXIT_IO_IN) {
    memset(data, 0xFF, size);
  } else if (run->io.port == GUEST_CONSOLE_PORT) {
    bool is_done = console_put(vcpu->all->devices, data, size);
    while (!is_done && gate_is_valid(&vcpu->gate, permission)) {
      gate_sleep(&vcpu->gate, permission, 200000);
      is_done = console_flush(vcpu->all->devices);
    }
  } else if (run->io.port == GUEST_DISK_PORT && size == 4) {
    uint32_t sequence;
    memcpy(&sequence, data, sizeof sequence);
    disk_write(vcpu->all->devices, sequence);
    vcpu->all->devices->disk_sequence = sequence + UINT64_C(1);
  }
}

static void run(struct kvm_vcpu *vcpu, uint32_t permission) {
  uint64_t left;
  int result = 0;
  /* Cleared before the permission is looked at: whoever takes the permission away sets it after that. */
  set_immediate_exit(vcpu, 0);
  left = now();
  atomic_store(&vcpu->first_stamp, left);
  while (result == 0 && gate_is_valid(&vcpu->gate, permission)) {
    result = enter(vcpu);
    left = now();
    if (result == -EINTR) result = 0;
    else if (result == 0 && vcpu->run->exit_reason == KVM_EXIT_IO) serve_port(vcpu, permission);
    else if (result == 0 && vcpu->run->exit_reason != KVM_EXIT_INTR) result = -EFAULT;
  }
  if (result == 0) {
    /* Finishes output that the last exit left half done; the guest executes nothing. */
    set_immediate_exit(vcpu, 1);
    enter(vcpu);
  } else {
    fprintf(stderr, "guest-vmm: vCPU %u cannot go on: %s, exit reason %u\n", vcpu->index, strerror(-result),
            vcpu->run->exit_reason);
    while (gate_is_valid(&vcpu->gate, permission)) gate_sleep(&vcpu->gate, permission, 1000000000);
  }
  atomic_store(&vcpu->last_stamp, left);
}

static void *serve(void *context) {
  struct kvm_vcpu *vcpu = context;
  uint32_t permission;
  ask_for_slice(0);
  while (gate_wait_for_permission(&vcpu->gate, &permission)) run(vcpu, permission);
  return NULL;
}

static uint64_t boot_stamp(const struct kvm_vcpus *all) {
  return ram_load(all->ram, vcpu_page(0) + VCPU_LAST_STAMP);
}

int kvm_vcpus_let_run(struct kvm_vcpus *all, int attaches) {
  if (attaches) {
    int result = kvm_attach_memory(all);
    if (result < 0) return result;
  }
  all->stamp_before = boot_stamp(all);
  for (uint32_t index = 0; index < all->count; index++) gate_let_run(&all->vcpus[index].gate);
  return 0;
}

uint64_t kvm_vcpus_stop(struct kvm_vcpus *all) {
  uint64_t latest = 0;
  for (uint32_t index = 0; index < all->count; index++) {
    gate_park(&all->vcpus[index].gate);
    set_immediate_exit(&all->vcpus[index], 1);
    pthread_kill(all->vcpus[index].thread, kick_signal());
  }
  for (uint32_t index = 0; index < all->count; index++) gate_wait_until_parked(&all->vcpus[index].gate);
  console_flush(all->devices);
  for (uint32_t index = 0; index < all->count; index++) {
    uint64_t stamp = atomic_load(&all->vcpus[index].last_stamp);
    if (stamp > latest) latest = stamp;
  }
  return latest;
}

uint64_t kvm_vcpus_first_instruction(struct kvm_vcpus *all, uint64_t timeout_ns) {
  uint64_t deadline = now() + timeout_ns, time;
  _Atomic uint32_t pause = 0;
  /* Until the guest itself shows that it executes: the boot vCPU writes a new stamp. */
  while ((time = now()) < deadline) {
    if (boot_stamp(all) != all->stamp_before) return time;
    word_wait(&pause, 0, 20000);
  }
  return 0;
}
