import BatonWire
import LinuxOS
import SEVDevice

/// The source's part of the preflight (rule 10 of the design): every check that can be made while the
/// guest runs, with its remedy. The names are those of the registry's interface.
struct Preflight {
  private let instance: GuestInstance

  init(_ instance: GuestInstance) { self.instance = instance }

  func checks() -> [PreflightCheck] {
    [
      way(), freeIdentifier(), memoryLockLimit(), processorIdentity(), processorRegisters(),
      capabilities(), stateFormat(), stateFeatures(), devices(), nested(), ramSeals(), time(),
    ] + bindings()
  }

  private func way() -> PreflightCheck {
    guard let sev = instance.sev else {
      return PreflightCheck(
        name: "way", verdict: .pass, detail: "none: a plain guest, the registry alone arbitrates")
    }
    let custody: String
    switch sev.way {
    case .move:
      custody = instance.options.givesCustody ? "all VMs in custody" : "only the source's VM in custody"
    case .token, .none: custody = instance.options.givesCustody ? "VM descriptor in custody" : "no custody"
    }
    let state = sev.facts.hasEncryptedState ? "; SEV-ES, its vCPUs' state moves along" : ""
    return PreflightCheck(
      name: "way", verdict: .pass, detail: "\(sev.way): \(sev.handoff.reason); \(custody)\(state)")
  }

  private func freeIdentifier() -> PreflightCheck {
    guard let sev = instance.sev else {
      return PreflightCheck(name: "freeASID", verdict: .pass, detail: "a plain guest needs none")
    }
    guard sev.way == .token else {
      return PreflightCheck(
        name: "freeASID", verdict: .pass, detail: "none is needed: the guest's own moves along")
    }
    do throws(SEVError) {
      try sev.probeFreeIdentifier()
      return PreflightCheck(name: "freeASID", verdict: .pass, detail: "one is free for the successor")
    } catch {
      return PreflightCheck(
        name: "freeASID", verdict: .fail, detail: "\(error)",
        remedy: "end another SEV guest, or move this one to another host")
    }
  }

  /// The successor runs as the same user; that its limit is the same is likely and not certain.
  private func memoryLockLimit() -> PreflightCheck {
    guard instance.sev != nil else {
      return PreflightCheck(name: "memoryLockLimit", verdict: .pass, detail: "a plain guest pins no memory")
    }
    let limit = ThisProcess.lockableByteCount
    let needed = UInt64(instance.options.configuration.ramBytes)
    guard limit < needed else {
      return PreflightCheck(
        name: "memoryLockLimit", verdict: .pass,
        detail: limit == .max ? "no limit" : "\(limit >> 20) MiB for \(needed >> 20) MiB of RAM")
    }
    return PreflightCheck(
      name: "memoryLockLimit", verdict: .warn,
      detail: "\(limit >> 20) MiB, \(needed >> 20) MiB of RAM are pinned",
      remedy: "raise RLIMIT_MEMLOCK of the successor, or give it CAP_IPC_LOCK")
  }

  // MARK: The processor

  private func processorIdentity() -> PreflightCheck {
    ofProcessor("cpuid", "the guest's own table travels; the successor's KVM is this host's")
  }

  private func processorRegisters() -> PreflightCheck {
    ofProcessor("modelSpecificRegisters", "those that this host's KVM lists travel")
  }

  private func capabilities() -> PreflightCheck {
    ofProcessor("capabilities", "the successor asks the same /dev/kvm")
  }

  private func ofProcessor(_ name: String, _ detail: String) -> PreflightCheck {
    PreflightCheck(
      name: name, verdict: .pass,
      detail: instance.kind == .kvm ? detail : "software vCPUs have none")
  }

  // MARK: State

  private func ramSeals() -> PreflightCheck {
    let seals = (try? instance.ram.seals()) ?? []
    let isSealed = seals.isSuperset(of: .ram)
    return PreflightCheck(
      name: "sealedMemory", verdict: isSealed ? .pass : .fail,
      detail: isSealed ? "SHRINK, GROW and SEAL are set" : "guest RAM lacks a seal",
      remedy: isSealed ? "" : "add F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL to the memfd")
  }

  private func stateFormat() -> PreflightCheck {
    PreflightCheck(
      name: "stateFormat", verdict: .pass,
      detail: "writes \(GuestInstance.formatName) version \(instance.options.stateFormat), reads "
        + "\(MachineStateFormat.oldest) to \(MachineStateFormat.current)")
  }

  private func stateFeatures() -> PreflightCheck {
    PreflightCheck(
      name: "stateFeatures", verdict: .pass,
      detail: "bits 0x\(String(instance.features, radix: 16)); the successor's are compared before freeze")
  }

  private func devices() -> PreflightCheck {
    PreflightCheck(
      name: "devices", verdict: .pass,
      detail: instance.devices.disk == nil
        ? "no disk; \(instance.names.count) named descriptors travel"
        : "the disk travels with its lock; \(instance.names.count) named descriptors travel")
  }

  /// An eventfd that is bound to one VM cannot be bound to another.
  private func bindings() -> [PreflightCheck] {
    [("interruptDescriptors", "irqfd or ioeventfd"), ("vhost", "vhost device"), ("vfio", "VFIO device")].map {
      PreflightCheck(name: $0.0, verdict: .pass, detail: "this VMM binds no \($0.1) to its VM")
    }
  }

  private func nested() -> PreflightCheck {
    PreflightCheck(name: "nestedState", verdict: .pass, detail: "the guest is offered no nesting")
  }

  private func time() -> PreflightCheck {
    let remarks = instance.machine.remarks
    return PreflightCheck(
      name: "guestTime", verdict: remarks.isEmpty ? .pass : .warn,
      detail: remarks.isEmpty ? "clock and TSC are carried" : remarks.joined(separator: "; "))
  }
}
