/* A guest in this process. */
#define _GNU_SOURCE
#include "machine.h"

#include <baton.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"
#include "kvm_vcpu.h"
#include "sev.h"
#include "software_vcpu.h"

/* One VM and its vCPUs. A machine has one, and a spare one while it may have to take the guest back. */
struct engine {
  int vm; /* -1 for software vCPUs without SEV */
  int encrypted_vcpus[GUEST_MOST_VCPUS]; /* of a SEV-ES guest's VM, where software ones do the work */
  uint32_t encrypted_count;
  struct kvm_vcpus *kvm;
  struct software_vcpus *software;
  enum { READY, RUNNING, STOPPED, RESTORED } phase;
};

struct machine {
  struct machine_setup setup;
  uint32_t offered_way;
  struct ram ram;
  struct devices devices;
  struct sev_facts facts; /* if the way is not NONE */
  /* Which pages the guest shares, for whoever migrates it to another host one day. Only software vCPUs make the guest's
   * calls here; NULL else. */
  baton_regions *regions;
  struct engine *engine, *spare;
};

static int fail(const char *what, int result) {
  fprintf(stderr, "guest-vmm: %s: %s\n", what, strerror(-result));
  return result;
}

static int is_sev(const struct machine *machine) { return machine->setup.way != MACHINE_WAY_NONE; }
static int is_kvm(const struct machine *machine) { return machine->setup.vcpu_kind == MACHINE_VCPU_KVM; }

/* ---- what a SEV guest says about its pages ---- */

static int make_regions(struct machine *machine, int is_offered) {
  if (!is_sev(machine) || is_kvm(machine)) return 0;
  return baton_regions_new(1, is_offered, &machine->regions);
}

/* What the guest's kernel does when it starts: names the pages that it shares with the VMM (its header and its vCPU
 * pages, which the VMM reads), then says that it does so. With real vCPUs these are exits of KVM_RUN. */
static void guest_starts(struct machine *machine) {
  enum { MAP_GPA_RANGE = 12, MIGRATION_CONTROL = 0x4B564D08 };
  const uint64_t end = GUEST_VCPU_PAGES + GUEST_MOST_VCPUS * GUEST_PAGE;
  const uint64_t arguments[] = {GUEST_HEADER, (end - GUEST_HEADER) / GUEST_PAGE, 0};
  int64_t result;
  if (machine->regions == NULL) return;
  baton_regions_hypercall(machine->regions, MAP_GPA_RANGE, arguments, &result);
  baton_regions_write_msr(machine->regions, MIGRATION_CONTROL, 1);
}

static int save_regions(struct machine *machine, struct state_writer *writer) {
  int64_t size = baton_regions_save(machine->regions, NULL, 0);
  void *bytes = size > 0 ? malloc((size_t)size) : NULL;
  if (bytes == NULL) return -ENOMEM;
  size = baton_regions_save(machine->regions, bytes, (size_t)size);
  state_begin_section(writer, SECTION_MEMORY_STATUS, 0);
  state_put(writer, bytes, (size_t)size);
  state_end_section(writer);
  free(bytes);
  return 0;
}

/* Also tries whether they can be: into a set of its own. A guest that has said nothing has no section. */
static int load_regions(baton_regions *regions, const void *state, uint64_t size) {
  struct state_reader reader;
  if (state_find(state, size, SECTION_MEMORY_STATUS, 0, &reader) != 0) return 0;
  return baton_regions_load(regions, reader.bytes, reader.size);
}

static int check_regions(const void *state, uint64_t size) {
  baton_regions *regions = NULL;
  int result = baton_regions_new(1, 0, &regions);
  if (result == 0) result = load_regions(regions, state, size);
  baton_regions_free(regions);
  return result;
}

/* ---- a VM with its vCPUs ---- */

static void engine_free(struct engine *engine) {
  if (engine == NULL) return;
  kvm_vcpus_free(engine->kvm);
  software_vcpus_free(engine->software);
  for (uint32_t index = 0; index < engine->encrypted_count; index++) close(engine->encrypted_vcpus[index]);
  /* No teardown ioctls: on a VM whose context was moved away they fail with EIO. */
  if (engine->vm >= 0) close(engine->vm);
  free(engine);
}

/* A SEV-ES guest's vCPUs have the same numbers and order in every VM of the guest: a move pairs them by order. */
static int make_encrypted_vcpus(struct engine *engine, uint32_t count) {
  for (; engine->encrypted_count < count; engine->encrypted_count++) {
    int vcpu = ioctl(engine->vm, KVM_CREATE_VCPU, (unsigned long)engine->encrypted_count);
    if (vcpu < 0) return -errno;
    engine->encrypted_vcpus[engine->encrypted_count] = vcpu;
  }
  return 0;
}

/* Walks the code of saving and restoring once with the vCPUs' own fresh state, while nobody waits for it: the first
 * time costs many times the second. No guest RAM is written. */
static void rehearse(const struct machine *machine, struct engine *engine) {
  struct state_header header = {.format = STATE_FORMAT, .vcpu_count = (uint16_t)machine->setup.vcpu_count};
  struct state_writer writer;
  void *state = malloc(MACHINE_MOST_STATE);
  if (state == NULL) return;
  state_begin(&writer, state, MACHINE_MOST_STATE);
  if (engine->kvm != NULL) kvm_vcpus_save(engine->kvm, &writer);
  else software_vcpus_save(engine->software, &writer);
  int64_t size = state_finish(&writer, &header);
  /* Software vCPUs are refused that are at no page of a guest: there is none yet. */
  if (size > 0 && engine->kvm != NULL) kvm_vcpus_restore(engine->kvm, state, (size_t)size);
  else if (size > 0) software_vcpus_restore(engine->software, state, (size_t)size);
  free(state);
}

/* `is_initialized`: the VM gets an address-space identifier, which LOCAL_RECEIVE needs and MOVE forbids. */
static int engine_new(struct machine *machine, int is_initialized, struct engine **made) {
  struct engine *engine = calloc(1, sizeof *engine);
  int result = 0;
  if (engine == NULL) return fail("making a VM", -ENOMEM);
  engine->vm = -1;
  if (is_sev(machine) || is_kvm(machine)) {
    /* Default machine type: a typed VM cannot run after a move. */
    engine->vm = kvm_vm_new();
    if (engine->vm < 0) result = fail("making a VM", engine->vm);
  }
  if (result == 0 && is_sev(machine) && is_initialized)
    result = sev_initialize(engine->vm, machine->facts.has_encrypted_state);
  if (result == 0 && is_kvm(machine)) {
    engine->kvm = kvm_vcpus_new(engine->vm, &machine->ram, &machine->devices, machine->setup.vcpu_count);
    if (engine->kvm == NULL) result = fail("making vCPUs", -errno);
  } else if (result == 0) {
    if (is_sev(machine) && machine->facts.has_encrypted_state)
      result = make_encrypted_vcpus(engine, machine->setup.vcpu_count);
    if (result == 0)
      engine->software = software_vcpus_new(
          &machine->ram, &machine->devices, machine->setup.vcpu_count, machine->setup.duty_percent);
    if (result == 0 && engine->software == NULL) result = fail("making threads for vCPUs", -errno);
  }
  if (result == 0) {
    rehearse(machine, engine);
    *made = engine;
  } else {
    engine_free(engine);
  }
  return result;
}

/* ---- RAM and devices ---- */

static int map_ram(struct machine *machine, int file) {
  machine->ram.file = file;
  void *base = mmap(NULL, machine->setup.ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (base == MAP_FAILED) return fail("mapping guest RAM", -errno);
  machine->ram.base = base;
  machine->ram.size = machine->setup.ram_size;
  /* Not into core dumps, nor into forked children. */
  madvise(base, machine->ram.size, MADV_DONTDUMP);
  madvise(base, machine->ram.size, MADV_DONTFORK);
  return 0;
}

/* Sealed, because a successor maps it: nobody may shrink it under the other's feet. */
static int make_ram(struct machine *machine) {
  int file = memfd_create("baton-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file >= 0 && ftruncate(file, (off_t)machine->setup.ram_size) == 0
      && fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    return map_ram(machine, file);
  int result = fail("making guest RAM", -errno);
  if (file >= 0) close(file);
  return result;
}

static int open_console(const char *place) {
  if (place == NULL) return -1;
  int console = strncmp(place, "fd:", 3) == 0 ? fcntl(atoi(place + 3), F_DUPFD_CLOEXEC, 3)
                                              : open(place, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (console < 0) fail("opening the console; it is shown nowhere", -errno);
  return console;
}

/* ---- making a machine ---- */

static int is_usable(const struct machine_setup *setup) {
  const uint64_t megabyte = UINT64_C(1) << 20;
  if (setup->ram_size >= 16 * megabyte && setup->ram_size % (2 * megabyte) == 0 && setup->ram_size <= 61440 * megabyte
      && setup->vcpu_count >= 1 && setup->vcpu_count <= GUEST_MOST_VCPUS && setup->duty_percent >= 1
      && setup->duty_percent <= 100)
    return 1;
  fprintf(stderr, "guest-vmm: RAM is a multiple of 2 MiB from 16 MiB to 60 GiB, there are 1 to %d vCPUs, and their "
                  "duty is 1 to 100 percent\n", GUEST_MOST_VCPUS);
  return 0;
}

/* Chooses by what the kernel can do, never by its version. */
static int choose_way(struct machine *machine) {
  struct sev_ways ways;
  int vm = kvm_vm_new(), result;
  if (vm < 0) return fail("opening /dev/kvm for a SEV guest", vm);
  result = sev_probe(vm, &ways);
  close(vm);
  if (result < 0) return result;
  uint32_t *way = &machine->setup.way;
  if (*way == MACHINE_WAY_AUTO) *way = ways.token ? MACHINE_WAY_TOKEN : MACHINE_WAY_MOVE;
  if (*way == MACHINE_WAY_TOKEN ? ways.token : ways.move) return 0;
  return fail("this kernel does not hand contexts on in that way", -ENOTTY);
}

static struct machine *begin(const struct machine_setup *setup) {
  struct machine *machine = is_usable(setup) ? calloc(1, sizeof *machine) : NULL;
  if (machine == NULL) return NULL;
  machine->setup = *setup;
  machine->ram.file = -1;
  machine->devices.console = machine->devices.disk = -1;
  if (setup->vcpu_kind == MACHINE_VCPU_AUTO)
    machine->setup.vcpu_kind = kvm_can_run() ? MACHINE_VCPU_KVM : MACHINE_VCPU_SOFTWARE;
  pthread_mutex_init(&machine->devices.lock, NULL);
  return machine;
}

static int finish(struct machine *made, int result, struct machine **machine) {
  if (result == 0) *machine = made;
  else machine_free(made);
  return result;
}

/* Real vCPUs' encrypted registers cannot be read, so that there is more to do for them than this example shows. */
static int check_encrypted_state(const struct machine *machine) {
  if (!machine->facts.has_encrypted_state || !is_kvm(machine)) return 0;
  return fail("this VMM runs guests with encrypted registers on software vCPUs only (--vcpu software)", -EOPNOTSUPP);
}

static int load(struct machine *machine) {
  struct guest_plan plan = {
      .vcpu_count = machine->setup.vcpu_count,
      .duty_percent = machine->setup.duty_percent,
      .is_kvm = is_kvm(machine),
      .has_disk = machine->devices.disk >= 0,
      .has_kvmclock = 1,
      .tick_kilohertz = 1000000,
  };
  if (plan.is_kvm) {
    plan.tick_kilohertz = kvm_vcpus_tick_kilohertz(machine->engine->kvm);
    plan.has_kvmclock = kvm_vcpus_have_kvmclock(machine->engine->kvm);
  }
  guest_load(&machine->ram, &plan);
  if (plan.is_kvm) {
    int result = kvm_vcpus_prepare_start(machine->engine->kvm);
    if (result < 0) return fail("putting the vCPUs at the guest's entry", result);
  }
  return is_sev(machine) ? sev_launch(machine->engine->vm, &machine->facts, GUEST_IMAGE, guest_image_size()) : 0;
}

int machine_new_guest(const struct machine_setup *setup, struct machine **machine) {
  struct machine *made = begin(setup);
  if (made == NULL) return -EINVAL;
  int result = make_ram(made), disk = -1;
  if (result == 0 && is_sev(made)) {
    made->facts = (struct sev_facts){.has_encrypted_state = setup->has_encrypted_state != 0,
                                     .region_address = (uintptr_t)made->ram.base,
                                     .region_size = made->ram.size};
    result = choose_way(made);
    if (result == 0) result = sev_open_firmware();
    if (result == 0) result = check_encrypted_state(made);
  }
  if (result == 0 && setup->disk != NULL && (disk = disk_open(setup->disk)) < 0)
    result = fail("opening the disk", disk);
  if (result == 0) result = devices_init(&made->devices, open_console(setup->console), disk);
  made->offered_way = made->setup.way;
  if (result == 0) result = make_regions(made, 1);
  if (result == 0) result = engine_new(made, 1, &made->engine);
  if (result == 0) result = load(made);
  if (result == 0) guest_starts(made);
  return finish(made, result, machine);
}

int machine_new_successor(
    const struct machine_setup *setup, const struct machine_parts *parts, struct machine **machine) {
  struct machine *made = begin(setup);
  int result = 0;
  if (made == NULL) {
    close(parts->ram);
    if (parts->console >= 0) close(parts->console);
    if (parts->disk >= 0) close(parts->disk);
    return -EINVAL;
  }
  made->ram.file = parts->ram;
  made->offered_way = parts->way;
  result = devices_init(&made->devices, parts->console, parts->disk);
  if (result < 0) fail("taking the disk over", result);
  if (result == 0
      && (parts->ram_size != setup->ram_size || parts->vcpu_count != setup->vcpu_count
          || (parts->way == MACHINE_WAY_NONE) == is_sev(made)))
    result = fail("the guest has another size, or another number of vCPUs, or differs in --sev", -EINVAL);
  if (result == 0) result = map_ram(made, parts->ram);
  if (result == 0 && is_sev(made)) {
    result = sev_facts_decode(&made->facts, parts->details, parts->details_size);
    if (result < 0) fail("the offer has no facts about the SEV guest", result);
    if (result == 0) result = choose_way(made);
    if (result == 0) result = sev_open_firmware();
    if (result == 0) result = check_encrypted_state(made);
  }
  /* Pages that exist are mapped; nothing is written to them. */
  if (result == 0 && parts->populates) madvise(made->ram.base, made->ram.size, MADV_POPULATE_READ);
  if (result == 0) result = make_regions(made, 0);
  if (result == 0) result = engine_new(made, parts->way == MACHINE_WAY_TOKEN, &made->engine);
  return finish(made, result, machine);
}

/* ---- a guest that migrates to another host ---- */

int machine_new_arrival(const struct machine_setup *setup, uint32_t has_encrypted_state, struct machine **machine) {
  struct machine *made = begin(setup);
  if (made == NULL) return -EINVAL;
  int result = make_ram(made);
  /* A page that has to be found when it comes costs several times as long as its copy. */
  if (result == 0 && madvise(made->ram.base, made->ram.size, MADV_POPULATE_WRITE) < 0)
    result = fail("making every page of guest RAM", -errno);
  if (result == 0 && is_sev(made)) {
    made->facts = (struct sev_facts){.has_encrypted_state = has_encrypted_state != 0,
                                     .region_address = (uintptr_t)made->ram.base,
                                     .region_size = made->ram.size};
    result = choose_way(made);
    if (result == 0) result = sev_open_firmware();
    if (result == 0) result = check_encrypted_state(made);
  }
  if (result == 0) result = devices_init(&made->devices, open_console(setup->console), -1);
  made->offered_way = made->setup.way;
  if (result == 0) result = make_regions(made, 0);
  if (result == 0) result = engine_new(made, 1, &made->engine);
  if (result == 0 && is_sev(made)) result = sev_register(made->engine->vm, &made->facts);
  return finish(made, result, machine);
}

void *machine_ram(const struct machine *machine) { return machine->ram.base; }

uint32_t machine_regions_of_ram(const struct machine *machine, struct baton_region *regions) {
  uint64_t size = machine->ram.size, low = size < GUEST_LOW_SIZE ? size : GUEST_LOW_SIZE;
  regions[0] = (struct baton_region){.byte_count = low};
  if (size == low) return 1;
  regions[1] = (struct baton_region){.guest_physical_address = GUEST_LOW_SIZE + GUEST_HOLE_SIZE,
                                     .byte_count = size - low,
                                     .file_offset = low};
  return 2;
}

baton_regions *machine_shared_pages(const struct machine *machine) { return machine->regions; }

int machine_start_dirty_log(struct machine *machine) {
  return machine->engine->kvm != NULL ? kvm_vcpus_log_writes(machine->engine->kvm, 1)
                                      : software_vcpus_log_writes(machine->engine->software, 1);
}

int machine_take_dirty_pages(struct machine *machine, uint64_t *pages, uint64_t words) {
  if (words != (machine->ram.size / GUEST_PAGE + 63) / 64) return -EINVAL;
  if (machine->engine->kvm != NULL) return kvm_vcpus_take_writes(machine->engine->kvm, pages);
  software_vcpus_take_writes(machine->engine->software, pages);
  return 0;
}

void machine_stop_dirty_log(struct machine *machine) {
  /* What it costs to leave it on is the guest's speed alone. */
  if (machine->engine->kvm != NULL) kvm_vcpus_log_writes(machine->engine->kvm, 0);
  else software_vcpus_log_writes(machine->engine->software, 0);
}

static uint8_t kind_number(uint32_t vcpu_kind) { return vcpu_kind == MACHINE_VCPU_KVM ? KIND_KVM : KIND_SOFTWARE; }

struct machine_kind machine_describe_kind(const struct machine *machine) {
  return (struct machine_kind){{1 /* the version of this layout */, kind_number(machine->setup.vcpu_kind)}};
}

int machine_kind_fits(const struct machine_setup *setup, const void *facts) {
  const uint8_t *bytes = facts;
  uint32_t kind = setup->vcpu_kind;
  if (kind == MACHINE_VCPU_AUTO) kind = kvm_can_run() ? MACHINE_VCPU_KVM : MACHINE_VCPU_SOFTWARE;
  return bytes[0] == 1 && bytes[1] == kind_number(kind);
}

void machine_free(struct machine *machine) {
  if (machine == NULL) return;
  if (machine->engine != NULL) machine_stop(machine);
  engine_free(machine->spare);
  engine_free(machine->engine);
  baton_regions_free(machine->regions);
  devices_close(&machine->devices);
  if (machine->ram.base != NULL) munmap(machine->ram.base, machine->ram.size);
  if (machine->ram.file >= 0) close(machine->ram.file);
  free(machine);
}

/* ---- what there is to say ---- */

static uint64_t features(const struct machine *machine) {
  return (uint64_t)(is_kvm(machine) ? FEATURE_KVM_VCPUS : FEATURE_SOFTWARE_VCPUS)
         | (machine->devices.disk >= 0 ? FEATURE_DISK : 0) | (machine->regions != NULL ? FEATURE_MEMORY_STATUS : 0);
}

void machine_describe(const struct machine *machine, struct machine_facts *facts) {
  *facts = (struct machine_facts){
      .ram_size = machine->ram.size,
      .features = features(machine),
      .vcpu_count = machine->setup.vcpu_count,
      .way = machine->setup.way,
      .ram = machine->ram.file,
      .console = machine->devices.console,
      .disk = machine->devices.disk,
      .vm = is_sev(machine) ? machine->engine->vm : -1,
      .take_back_vm = is_sev(machine) && machine->spare != NULL ? machine->spare->vm : -1,
  };
  if (is_sev(machine)) {
    facts->details_size = SEV_FACTS_SIZE;
    sev_facts_encode(&machine->facts, facts->details);
  }
}

void machine_report(const struct machine *machine, char *text, uint64_t size) {
  char report[1024];
  guest_report(&machine->ram, report, sizeof report);
  if (is_sev(machine)) snprintf(text, size, "%s,\"guestState\":%d", report, sev_guest_state(machine->engine->vm));
  else snprintf(text, size, "%s", report);
}

void machine_retire(struct machine *machine) {
  machine_stop(machine);
  if (is_sev(machine)) sev_unregister(machine->engine->vm, &machine->facts);
}

/* ---- running, saving, restoring ---- */

int machine_run(struct machine *machine) {
  struct engine *engine = machine->engine;
  int result = 0;
  if (engine->kvm != NULL) result = kvm_vcpus_let_run(engine->kvm, engine->phase == RESTORED);
  else software_vcpus_let_run(engine->software);
  if (result < 0) return fail("running the guest", result);
  engine->phase = RUNNING;
  return 0;
}

uint64_t machine_first_instruction(struct machine *machine, uint64_t timeout_ns) {
  return machine->engine->kvm != NULL ? kvm_vcpus_first_instruction(machine->engine->kvm, timeout_ns)
                                      : software_vcpus_first_instruction(machine->engine->software, timeout_ns);
}

uint64_t machine_stop(struct machine *machine) {
  struct engine *engine = machine->engine;
  if (engine->phase != RUNNING) return 0;
  engine->phase = STOPPED;
  return engine->kvm != NULL ? kvm_vcpus_stop(engine->kvm) : software_vcpus_stop(engine->software);
}

int64_t machine_save(struct machine *machine, void *state, uint64_t size) {
  struct state_writer writer;
  struct state_header header = {
      .format = STATE_FORMAT,
      .kind = is_kvm(machine) ? KIND_KVM : KIND_SOFTWARE,
      .features = features(machine) | (machine->devices.pending_size > 0 ? FEATURE_PENDING_CONSOLE : 0),
      .ram_size = machine->ram.size,
      .vcpu_count = (uint16_t)machine->setup.vcpu_count,
  };
  int result = 0;
  state_begin(&writer, state, size);
  devices_save(&machine->devices, &writer);
  if (machine->engine->kvm != NULL) result = kvm_vcpus_save(machine->engine->kvm, &writer);
  else software_vcpus_save(machine->engine->software, &writer);
  if (result == 0 && machine->regions != NULL) result = save_regions(machine, &writer);
  return result < 0 ? result : state_finish(&writer, &header);
}

int machine_check_state(const struct machine *machine, const void *state, uint64_t size) {
  struct state_header header;
  struct state_reader reader;
  int result = state_open(state, size, &header);
  if (result == 0
      && (header.kind != (is_kvm(machine) ? KIND_KVM : KIND_SOFTWARE) || header.ram_size != machine->ram.size
          || header.vcpu_count != machine->setup.vcpu_count
          || state_find(state, size, SECTION_DEVICES, 0, &reader) != 0))
    result = -EINVAL;
  if (result == 0) result = devices_check(&machine->devices, &header, reader);
  if (result == 0) result = check_regions(state, size);
  if (result < 0) return fail("the guest's state is not for this machine", result);
  return guest_check(&machine->ram, machine->setup.vcpu_count);
}

int machine_restore(struct machine *machine, const void *state, uint64_t size) {
  struct state_header header;
  struct state_reader reader;
  struct engine *engine = machine->engine;
  int result = machine_check_state(machine, state, size);
  if (result < 0) return result;
  result = engine->kvm != NULL ? kvm_vcpus_restore(engine->kvm, state, size)
                               : software_vcpus_restore(engine->software, state, size);
  if (result < 0) return fail("restoring the vCPUs", result);
  state_open(state, size, &header);
  state_find(state, size, SECTION_DEVICES, 0, &reader);
  devices_restore(&machine->devices, header.format, reader);
  if (machine->regions != NULL) load_regions(machine->regions, state, size);
  engine->phase = RESTORED;
  return 0;
}

/* ---- the SEV context ---- */

int machine_send(struct machine *machine, uint64_t *token) { return sev_send(machine->engine->vm, token); }

int machine_receive(struct machine *machine, uint64_t token, const int32_t *vms, uint32_t vm_count) {
  switch (machine->offered_way) {
    /* A staged state without a token is one whose token was taken out before. */
    case MACHINE_WAY_TOKEN: return token == 0 ? SEV_USED : (int)sev_receive(machine->engine->vm, token);
    case MACHINE_WAY_MOVE: return (int)sev_move(machine->engine->vm, vms, vm_count);
    default: return SEV_TAKEN;
  }
}

int machine_prepare_take_back(struct machine *machine) {
  machine_drop_take_back(machine);
  return is_sev(machine) ? engine_new(machine, machine->setup.way == MACHINE_WAY_TOKEN, &machine->spare) : 0;
}

void machine_drop_take_back(struct machine *machine) {
  engine_free(machine->spare);
  machine->spare = NULL;
}

int machine_take_back(struct machine *machine, uint64_t token, const int32_t *vms, uint32_t vm_count) {
  enum { MOST = 16 };
  int sources[MOST];
  uint32_t count = 0;
  enum sev_taking taking;
  /* A plain guest has no context, and without a spare VM it was taken back before. */
  if (!is_sev(machine) || machine->spare == NULL) return SEV_TAKEN;
  if (machine->setup.way == MACHINE_WAY_TOKEN) {
    taking = sev_receive(machine->spare->vm, token);
  } else {
    /* The old VM is not trusted even where it still has the context: whoever was given its descriptor could move the
     * context from under it at any later time. */
    sources[count++] = machine->engine->vm;
    for (uint32_t index = 0; index < vm_count && count < MOST; index++) sources[count++] = vms[index];
    taking = sev_move(machine->spare->vm, sources, count);
  }
  if (taking == SEV_TAKEN) {
    engine_free(machine->engine);
    machine->engine = machine->spare;
    machine->spare = NULL;
  }
  return (int)taking;
}
