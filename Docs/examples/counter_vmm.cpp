/*
 * counter-vmm.c in C++: the handle, the mapping and the descriptor are owned by objects, an error is an exception.
 *
 *   c++ -std=c++17 counter_vmm.cpp -lbaton -o counter-vmm-cpp
 *   counter-vmm-cpp SOCKET GUEST TICKS
 */
#include <baton.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

constexpr std::size_t ram_size = 65536;

std::uint64_t now() {
  const auto since = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

/* What the library, or the registry through it, said no to. */
struct refused : std::runtime_error {
  refused(const std::string &text, int status) : std::runtime_error(text), exit_status(status) {}
  int exit_status;
};

/* A handle that frees itself, and turns results below 0 into exceptions. */
class handle {
 public:
  handle(const char *registry, const char *guest) {
    baton_identity identity{};
    identity.struct_size = sizeof identity;
    identity.registry = registry;
    identity.guest = guest;
    identity.build = "counter_vmm.cpp 1";
    identity.format_name = "example";
    identity.format_oldest = identity.format_newest = 1;
    baton_vmm *made = nullptr;
    const int result = baton_vmm_new(&identity, &made);
    if (result < 0) throw std::system_error(-result, std::generic_category(), "making a handle");
    vmm_.reset(made);
  }

  baton_vmm *get() const { return vmm_.get(); }

  template <typename Result>
  Result check(const char *what, Result result) const {
    if (result >= 0) return result;
    baton_failure failure{};
    failure.struct_size = sizeof failure;
    baton_vmm_failure(get(), &failure);
    throw refused(
        std::string(what) + ": " + failure.text, failure.refusal != 0 ? baton_refusal_exit_status(failure.refusal) : 1);
  }

 private:
  struct free_handle {
    void operator()(baton_vmm *vmm) const { baton_vmm_free(vmm); }
  };
  std::unique_ptr<baton_vmm, free_handle> vmm_;
};

/* Guest RAM: a sealed memfd and its mapping. */
class memory {
 public:
  explicit memory(int descriptor) : descriptor_(descriptor) {
    void *mapped = mmap(nullptr, ram_size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
      const int error = errno;
      close(descriptor);
      throw std::system_error(error, std::generic_category(), "mapping guest RAM");
    }
    words_ = static_cast<volatile std::uint64_t *>(mapped);
  }
  memory(const memory &) = delete;
  memory &operator=(const memory &) = delete;
  ~memory() {
    munmap(const_cast<std::uint64_t *>(words_), ram_size);
    close(descriptor_);
  }

  static std::unique_ptr<memory> make() {
    const int made = memfd_create("counter-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (made < 0 || ftruncate(made, ram_size) != 0 ||
        fcntl(made, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
      throw std::system_error(errno, std::generic_category(), "making guest RAM");
    return std::make_unique<memory>(made);
  }

  volatile std::uint64_t &counter() const { return words_[0]; }
  const int &descriptor() const { return descriptor_; }

 private:
  int descriptor_;
  volatile std::uint64_t *words_;
};

class counter_vmm {
 public:
  counter_vmm(const char *registry, const char *guest) : handle_(registry, guest) {
    handle_.check("coming to the registry", baton_vmm_connect(handle_.get(), 10000));
  }

  /* Lives until the guest has left, or until its counter is `ticks`. */
  void live(std::uint64_t ticks) {
    baton_event event{};
    event.struct_size = sizeof event;
    for (;;) {
      if (handle_.check("listening", baton_vmm_process(handle_.get(), &event)) > 0) {
        if (!carry_out(event)) return;
        continue;
      }
      if (is_running_) {
        if (memory_->counter() >= ticks) {
          handle_.check("ending the guest", baton_vmm_end(handle_.get()));
          return;
        }
        tick();
      }
      pollfd ready{baton_vmm_descriptor(handle_.get()), POLLIN, 0};
      poll(&ready, 1, is_running_ ? 1 : 50);
    }
  }

  void print() const {
    std::cout << "{\"counter\":" << (memory_ ? memory_->counter() : 0) << ",\"epochs\":[";
    for (std::size_t index = 0; index < epochs_.size(); index++) std::cout << (index ? "," : "") << epochs_[index];
    std::cout << "],\"released\":" << (is_released_ ? "true" : "false") << "}\n";
  }

 private:
  void tick() {
    handle_.check("running the guest", baton_vmm_may_run(handle_.get()));
    memory_->counter() = memory_->counter() + 1;
    last_ = now();
  }

  baton_guest guest() const {
    static const baton_region region{0, ram_size, 0, 0, 0};
    baton_guest guest{};
    guest.struct_size = sizeof guest;
    guest.way = BATON_WAY_NONE;
    guest.vcpu_count = 1;
    guest.ram_count = guest.region_count = 1;
    guest.ram = &memory_->descriptor();
    guest.regions = &region;
    guest.vm = guest.take_back_vm = -1;
    guest.format_name = "example";
    guest.format_version = 1;
    return guest;
  }

  bool carry_out(const baton_event &event) {
    switch (event.type) {
      case BATON_EVENT_START: memory_ = memory::make(); [[fallthrough]];
      case BATON_EVENT_RUN: {
        epochs_.push_back(event.epoch);
        const baton_guest described = guest();
        tick();
        is_running_ = true;
        handle_.check("saying that the guest runs", baton_vmm_running(handle_.get(), &described, last_));
        break;
      }
      case BATON_EVENT_OFFERED:
        memory_ = std::make_unique<memory>(handle_.check("taking RAM", baton_vmm_take_ram(handle_.get(), 0)));
        handle_.check("saying ready", baton_vmm_ready(handle_.get(), -1));
        break;
      case BATON_EVENT_CLAIM: {
        std::array<unsigned char, 8> state{};
        const auto size = baton_vmm_claim_state(handle_.get(), state.data(), state.size());
        std::uint64_t counter = 0;
        for (std::size_t index = 0; index < state.size(); index++) counter |= std::uint64_t{state[index]} << (8 * index);
        if (size == 8 && counter == memory_->counter())
          handle_.check("saying received", baton_vmm_received(handle_.get()));
        else
          handle_.check("giving the baton back", baton_vmm_give_back(handle_.get()));
        break;
      }
      case BATON_EVENT_PREPARE: {
        const baton_guest offered = guest();
        handle_.check("offering the guest", baton_vmm_offer(handle_.get(), &offered));
        break;
      }
      case BATON_EVENT_FREEZE: {
        is_running_ = false;
        handle_.check("freezing", baton_vmm_froze(handle_.get()));
        std::array<unsigned char, 8> state{};
        for (std::size_t index = 0; index < state.size(); index++)
          state[index] = static_cast<unsigned char>(memory_->counter() >> (8 * index));
        handle_.check("staging", baton_vmm_stage(handle_.get(), state.data(), state.size(), nullptr, last_));
        break;
      }
      case BATON_EVENT_PREFLIGHT: {
        const baton_check fine{"example", "a counter", nullptr, BATON_CHECK_PASS, 0};
        handle_.check("reporting", baton_vmm_report(handle_.get(), &fine, 1));
        break;
      }
      case BATON_EVENT_TAKE_BACK: handle_.check("taking back", baton_vmm_took_back(handle_.get(), 1)); break;
      case BATON_EVENT_RELEASED:
        is_released_ = true;
        is_running_ = false;
        return false;
      default: break;
    }
    return true;
  }

  handle handle_;
  std::unique_ptr<memory> memory_;
  std::vector<std::uint64_t> epochs_;
  std::uint64_t last_ = 0;
  bool is_running_ = false;
  bool is_released_ = false;
};

}  // namespace

int main(int count, char **arguments) {
  if (count != 4) {
    std::cerr << "usage: counter-vmm-cpp SOCKET GUEST TICKS\n";
    return 64;
  }
  try {
    counter_vmm vmm(arguments[1], arguments[2]);
    vmm.live(std::stoull(arguments[3]));
    vmm.print();
  } catch (const refused &error) {
    std::cerr << "counter-vmm-cpp: " << error.what() << "\n";
    return error.exit_status;
  } catch (const std::exception &error) {
    std::cerr << "counter-vmm-cpp: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
