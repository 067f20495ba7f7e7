/*
 * guest_vmm.c in C++: the handle, the machine and descriptors are owned by objects, an error is an exception.
 * The machine itself is the C of machine.h.
 *
 *   guest-vmm-cpp --vm NAME --registry SOCKET [options as options.h lists them]
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <baton.h>

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "machine.h"
#include "options.h"

namespace {

using std::chrono::milliseconds;

std::uint64_t now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

/* This process cannot go on; the guest is where the sentence says. */
struct cannot_go_on : std::runtime_error {
  explicit cannot_go_on(const std::string &text, int status = 1) : std::runtime_error(text), exit_status(status) {}
  int exit_status;
};

class descriptor {
 public:
  explicit descriptor(int number) : number_(number) {}
  descriptor(descriptor &&other) noexcept : number_(std::exchange(other.number_, -1)) {}
  descriptor &operator=(descriptor &&other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~descriptor() {
    if (number_ >= 0) close(number_);
  }
  int get() const { return number_; }
  int release() { return std::exchange(number_, -1); }

 private:
  int number_;
};

/* A handle that frees itself, and turns results below 0 into exceptions. */
class handle {
 public:
  explicit handle(const options &options) {
    baton_identity identity{};
    identity.struct_size = sizeof identity;
    identity.registry = options.registry;
    identity.guest = options.guest;
    identity.build = "guest_vmm.cpp 1";
    identity.format_name = MACHINE_FORMAT;
    identity.format_oldest = MACHINE_FORMAT_OLDEST;
    identity.format_newest = MACHINE_FORMAT_NEWEST;
    identity.format_features = MACHINE_FEATURES;
    baton_vmm *made = nullptr;
    const int result = baton_vmm_new(&identity, &made);
    if (result < 0) throw std::system_error(-result, std::generic_category(), "making a handle");
    vmm_.reset(made);
    check("coming to the registry", baton_vmm_connect(made, 60000));
  }

  baton_vmm *get() const { return vmm_.get(); }

  template <typename Result>
  Result check(const char *what, Result result) const {
    if (result >= 0) return result;
    baton_failure failure{};
    failure.struct_size = sizeof failure;
    baton_vmm_failure(get(), &failure);
    throw cannot_go_on(std::string(what) + ": " + failure.text,
                       failure.refusal != 0 ? baton_refusal_exit_status(failure.refusal) : 1);
  }

 private:
  struct deleter {
    void operator()(baton_vmm *vmm) const { baton_vmm_free(vmm); }
  };
  std::unique_ptr<baton_vmm, deleter> vmm_;
};

struct machine_deleter {
  void operator()(machine *machine) const { machine_free(machine); }
};
using owned_machine = std::unique_ptr<machine, machine_deleter>;

/* The way `token` baton: overwritten as soon as it is not needed. */
class secret {
 public:
  secret() = default;
  secret(const secret &) = delete;
  secret &operator=(const secret &) = delete;
  ~secret() { wipe(); }
  void wipe() { explicit_bzero(&value, sizeof value); }
  std::uint64_t value = 0;
};

/* One JSON line a moment; numbers and names only. */
class event_log {
 public:
  explicit event_log(const options &options) : file_(options_open_events(&options)) {}
  void tell(const char *event, const std::string &fields = {}) const {
    if (file_.get() < 0) return;
    std::ostringstream line;
    line << "{\"event\":\"" << event << "\",\"pid\":" << getpid() << ",\"at\":" << now() << fields << "}\n";
    const std::string text = line.str();
    if (write(file_.get(), text.data(), text.size()) < 0) std::cerr << "guest-vmm: an event cannot be written\n";
  }

 private:
  descriptor file_;
};

struct named {
  std::string name;
  descriptor file;
};

class guest_vmm {
 public:
  guest_vmm(const options &options, descriptor signals)
      : options_(options), signals_(std::move(signals)), log_(options), handle_(options), state_(MACHINE_MOST_STATE) {}

  /* Lives until the guest has left or ended; the status to exit with. */
  int live() {
    baton_event event{};
    event.struct_size = sizeof event;
    for (;;) {
      if (handle_.check("listening to the registry", baton_vmm_process(handle_.get(), &event)) > 0) {
        if (!carry_out(event)) return status_;
        continue;
      }
      std::array<pollfd, 2> ready{
          {{signals_.get(), POLLIN, 0}, {baton_vmm_descriptor(handle_.get()), POLLIN, 0}}};
      poll(ready.data(), ready.size(), ready[1].fd < 0 ? 50 : 1000);
      signalfd_siginfo signal{};
      if ((ready[0].revents & POLLIN) != 0 && read(signals_.get(), &signal, sizeof signal) == sizeof signal
          && !obey(signal.ssi_signo))
        return status_;
    }
  }

 private:
  /* What describes the guest for a call. */
  template <typename Call>
  void with_guest(const char *what, Call call) const {
    machine_facts facts{};
    machine_describe(machine_.get(), &facts);
    baton_region region{};
    region.byte_count = facts.ram_size;
    std::vector<const char *> names;
    std::vector<int> files;
    const auto add = [&](const char *name, int file) {
      if (file < 0) return;
      names.push_back(name);
      files.push_back(file);
    };
    add("console", facts.console);
    add("disk", facts.disk);
    for (const auto &other : others_) add(other.name.c_str(), other.file.get());
    const bool is_move = facts.way == BATON_WAY_MOVE;
    baton_guest guest{};
    guest.struct_size = sizeof guest;
    guest.way = facts.way;
    guest.vcpu_count = facts.vcpu_count;
    guest.ram_count = guest.region_count = 1;
    guest.ram = &facts.ram;
    guest.regions = &region;
    guest.named_count = static_cast<std::uint32_t>(names.size());
    guest.names = names.data();
    guest.named = files.data();
    guest.vm = options_.gives_custody || is_move ? facts.vm : -1;
    guest.take_back_vm = options_.gives_custody && is_move ? facts.take_back_vm : -1;
    guest.format_name = MACHINE_FORMAT;
    guest.format_version = MACHINE_FORMAT_NEWEST;
    guest.format_features = facts.features;
    guest.details_size = facts.details_size;
    guest.details = facts.details;
    handle_.check(what, call(&guest));
  }

  std::uint32_t way() const {
    machine_facts facts{};
    machine_describe(machine_.get(), &facts);
    return facts.way;
  }

  std::vector<int> context_vms() const {
    std::vector<int> vms;
    for (int vm; (vm = baton_vmm_context_vm(handle_.get(), static_cast<std::uint32_t>(vms.size()))) >= 0;)
      vms.push_back(vm);
    return vms;
  }

  void run(const baton_event &event) {
    if (event.type == BATON_EVENT_START) {
      machine *made = nullptr;
      if (machine_new_guest(&options_.machine, &made) < 0) throw cannot_go_on("the guest cannot be made");
      machine_.reset(made);
    }
    handle_.check("running the guest", baton_vmm_may_run(handle_.get()));
    if (machine_run(machine_.get()) < 0) throw cannot_go_on("the guest cannot run");
    const std::uint64_t first = machine_first_instruction(machine_.get(), 1000000000);
    with_guest("saying that the guest runs",
               [&](const baton_guest *guest) { return baton_vmm_running(handle_.get(), guest, first); });
    is_running_ = true;
    token_.wipe();
    machine_drop_take_back(machine_.get());
    log_.tell("running",
              ",\"epoch\":" + std::to_string(event.epoch) + ",\"firstInstruction\":" + std::to_string(first));
  }

  /* ---- successor ---- */

  void prepare_to_take() {
    others_.clear();
    machine_.reset();
    baton_offer offer{};
    offer.struct_size = sizeof offer;
    handle_.check("reading the offer", baton_vmm_offer_get(handle_.get(), &offer));
    descriptor console(-1), disk(-1);
    for (std::uint32_t index = 0; index < offer.named_count; index++) {
      std::array<char, 129> name{};
      handle_.check("reading a name", baton_vmm_offer_name(handle_.get(), index, name.data(), name.size()));
      descriptor file(handle_.check("taking a descriptor", baton_vmm_take_named(handle_.get(), name.data())));
      if (strcmp(name.data(), "console") == 0) console = std::move(file);
      else if (strcmp(name.data(), "disk") == 0) disk = std::move(file);
      else others_.push_back({name.data(), std::move(file)});
    }
    baton_region region{};
    handle_.check("reading a region", baton_vmm_offer_region(handle_.get(), 0, &region));
    std::vector<unsigned char> details(offer.details_size + 1);
    handle_.check("reading the details", baton_vmm_offer_details(handle_.get(), details.data(), details.size()));
    offered_way_ = offer.way;
    machine_parts parts{};
    parts.ram_size = offer.ram_count == 1 && offer.region_count == 1 ? region.byte_count : 0;
    parts.vcpu_count = offer.vcpu_count;
    parts.way = offer.way;
    parts.ram = handle_.check("taking RAM", baton_vmm_take_ram(handle_.get(), 0));
    parts.console = console.release();
    parts.disk = disk.release();
    parts.populates = offer.is_stopped == 0;
    parts.details = details.data();
    parts.details_size = offer.details_size;
    machine *made = nullptr;
    if (machine_new_successor(&options_.machine, &parts, &made) < 0) {
      status_ = 1;
      handle_.check("declining", baton_vmm_decline(handle_.get(), "this VMM cannot make a machine for the guest"));
      return;
    }
    machine_.reset(made);
    machine_facts facts{};
    machine_describe(made, &facts);
    const bool gives = offer.way == BATON_WAY_MOVE && options_.gives_custody != 0;
    handle_.check("saying ready", baton_vmm_ready(handle_.get(), gives ? facts.vm : -1));
  }

  void receive() {
    const std::vector<int> vms = context_vms();
    const std::int64_t size = baton_vmm_claim_state(handle_.get(), state_.data(), state_.size());
    const auto count = static_cast<std::uint64_t>(size);
    if (size < 0 || machine_check_state(machine_.get(), state_.data(), count) < 0) {
      handle_.check("giving the baton back", baton_vmm_give_back(handle_.get()));
      return;
    }
    secret token;
    if (offered_way_ == BATON_WAY_TOKEN)
      handle_.check("reading the baton", baton_vmm_claim_token(handle_.get(), &token.value));
    switch (machine_receive(machine_.get(), token.value, vms.data(), static_cast<std::uint32_t>(vms.size()))) {
      case MACHINE_TAKEN: break;
      case MACHINE_USED:
        handle_.check("saying that the baton is used", baton_vmm_found_used(handle_.get()));
        return;
      case MACHINE_UNTOUCHED: handle_.check("giving the baton back", baton_vmm_give_back(handle_.get())); return;
      default: throw cannot_go_on("nobody can say whether the context was taken; ask batonctl where the guest is");
    }
    if (machine_restore(machine_.get(), state_.data(), count) < 0)
      throw cannot_go_on("the state cannot be restored; ask batonctl where the guest is");
    handle_.check("saying received", baton_vmm_received(handle_.get()));
  }

  /* ---- owner ---- */

  void offer() {
    if (machine_prepare_take_back(machine_.get()) < 0)
      handle_.check("declining", baton_vmm_decline(handle_.get(), "no VM to take the guest back into"));
    else
      with_guest("offering the guest",
                 [&](const baton_guest *guest) { return baton_vmm_offer(handle_.get(), guest); });
  }

  void go_on(const char *problem) {
    std::cerr << "guest-vmm: " << problem << "; the guest goes on here\n";
    handle_.check("going on", baton_vmm_resume(handle_.get()));
    if (machine_run(machine_.get()) < 0) throw cannot_go_on("the guest cannot run");
    is_running_ = true;
  }

  int take_context_back() {
    const std::vector<int> vms = context_vms();
    const int taking =
        machine_take_back(machine_.get(), token_.value, vms.data(), static_cast<std::uint32_t>(vms.size()));
    if (taking == MACHINE_TAKEN && way() != BATON_WAY_NONE
        && machine_restore(machine_.get(), state_.data(), state_size_) < 0)
      return MACHINE_UNKNOWN;
    return taking;
  }

  void hand_over() {
    const std::uint64_t last = machine_stop(machine_.get());
    is_running_ = false;
    handle_.check("freezing", baton_vmm_froze(handle_.get()));
    const std::int64_t size = machine_save(machine_.get(), state_.data(), state_.size());
    if (size < 0) return go_on("the guest's state cannot be saved");
    state_size_ = static_cast<std::size_t>(size);
    const bool is_token = way() == BATON_WAY_TOKEN;
    if (is_token) {
      if (machine_send(machine_.get(), &token_.value) < 0) return go_on("LOCAL_SEND failed");
      handle_.check("giving the context up", baton_vmm_gave_up_context(handle_.get()));
    }
    const int result =
        baton_vmm_stage(handle_.get(), state_.data(), state_size_, is_token ? &token_.value : nullptr, last);
    /* Still frozen: nothing has left this process. */
    if (result < 0 && baton_vmm_state(handle_.get()) == BATON_STATE_FROZEN && take_context_back() == MACHINE_TAKEN)
      return go_on("the guest was not staged");
    handle_.check("staging", result);
    log_.tell("staged", ",\"lastInstruction\":" + std::to_string(last));
  }

  void take_back() {
    const int taking = take_context_back();
    /* Neither taken nor used: nothing is said, and the registry calls an operator. */
    if (taking != MACHINE_TAKEN && taking != MACHINE_USED) return;
    if (taking == MACHINE_TAKEN) log_.tell("tookBack");
    handle_.check("answering the order", baton_vmm_took_back(handle_.get(), taking == MACHINE_TAKEN ? 1 : 0));
  }

  /* False when this process has nothing to do with the guest any more. */
  bool carry_out(const baton_event &event) {
    switch (event.type) {
      case BATON_EVENT_START:
      case BATON_EVENT_RUN: run(event); break;
      case BATON_EVENT_OFFERED: prepare_to_take(); break;
      case BATON_EVENT_CLAIM: receive(); break;
      case BATON_EVENT_PREPARE: offer(); break;
      case BATON_EVENT_FREEZE: hand_over(); break;
      case BATON_EVENT_ATTEMPT_OVER: machine_drop_take_back(machine_.get()); break;
      case BATON_EVENT_PREFLIGHT: {
        const baton_check way{"way", "as --sev says", nullptr, BATON_CHECK_PASS, 0};
        handle_.check("reporting", baton_vmm_report(handle_.get(), &way, 1));
        break;
      }
      case BATON_EVENT_TAKE_BACK: take_back(); break;
      case BATON_EVENT_ALARM:
        std::cerr << "guest-vmm: the registry is gone or silent; the guest waits paused here\n";
        break;
      case BATON_EVENT_RELEASED:
        std::this_thread::sleep_for(milliseconds(10)); /* the successor's vCPUs are just being woken */
        is_running_ = false;
        if (event.refusal != 0) {
          std::cerr << "guest-vmm: released: " << baton_refusal_sentence(event.refusal) << "\n";
          status_ = baton_refusal_exit_status(event.refusal);
        }
        log_.tell("released");
        return false;
      default: break; /* of a later version of the library */
    }
    return true;
  }

  void report() const {
    std::array<char, 1536> text{};
    machine_report(machine_.get(), text.data(), text.size());
    log_.tell("report", std::string(",\"report\":") + text.data());
  }

  bool obey(std::uint32_t number) {
    if (number == SIGUSR1) {
      // Of a guest that stands still too; before the offer there is none.
      if (machine_) report();
      return true;
    }
    if (!is_running_) return number == SIGHUP || baton_vmm_state(handle_.get()) >= BATON_STATE_CLAIMING;
    if (number == SIGHUP) {
      handle_.check("asking for custody", baton_vmm_park(handle_.get()));
      return true;
    }
    machine_retire(machine_.get());
    report();
    handle_.check("ending the guest", baton_vmm_end(handle_.get()));
    log_.tell("ended");
    return false;
  }

  /* In the order in which they are to go: the handle first. */
  const options &options_;
  descriptor signals_;
  event_log log_;
  std::vector<named> others_;
  owned_machine machine_;
  handle handle_;
  std::vector<std::uint8_t> state_;
  std::size_t state_size_ = 0;
  secret token_;
  std::uint32_t offered_way_ = 0;
  bool is_running_ = false;
  int status_ = 0;
};

}  // namespace

int main(int count, char **arguments) {
  options options;
  if (options_read(&options, count, arguments) < 0) return 64;
  /* Blocked before there are threads, which inherit it. */
  sigset_t wanted;
  sigemptyset(&wanted);
  for (const int number : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) sigaddset(&wanted, number);
  sigprocmask(SIG_BLOCK, &wanted, nullptr);
  signal(SIGPIPE, SIG_IGN);
  options_occupy_standard_numbers();
  try {
    return guest_vmm(options, descriptor(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK))).live();
  } catch (const cannot_go_on &error) {
    std::cerr << "guest-vmm: " << error.what() << "\n";
    return error.exit_status;
  } catch (const std::exception &error) {
    std::cerr << "guest-vmm: " << error.what() << "\n";
    return 1;
  }
}
