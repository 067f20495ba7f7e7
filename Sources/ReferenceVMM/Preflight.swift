import BatonWire
import LinuxOS
import SEVDevice

/// The source's part of the preflight (rule 10 of the design): every check that can be made while the
/// guest runs, with its remedy.
struct Preflight {
  private let instance: GuestInstance

  init(_ instance: GuestInstance) { self.instance = instance }

  func checks() -> [PreflightCheck] {
    [way(), freeIdentifier(), ramSeals(), stateFormat(), devices(), passthrough(), nested(), time()]
  }

  private func way() -> PreflightCheck {
    PreflightCheck(
      name: "way", verdict: .pass,
      detail: instance.sev == nil
        ? "none: a plain guest, the registry alone arbitrates"
        : "token: LOCAL_SEND and LOCAL_RECEIVE, "
          + (instance.options.givesCustody ? "VM descriptor in custody" : "no custody"),
      remedy: "")
  }

  private func freeIdentifier() -> PreflightCheck {
    guard let sev = instance.sev else {
      return PreflightCheck(
        name: "address-space-identifier", verdict: .pass, detail: "a plain guest needs none")
    }
    do throws(SEVError) {
      try sev.probeFreeIdentifier()
      return PreflightCheck(
        name: "address-space-identifier", verdict: .pass, detail: "one is free for the successor")
    } catch {
      return PreflightCheck(
        name: "address-space-identifier", verdict: .fail, detail: "\(error)",
        remedy: "end another SEV guest, or move this one to another host")
    }
  }

  private func ramSeals() -> PreflightCheck {
    let seals = (try? instance.ram.seals()) ?? []
    let isSealed = seals.isSuperset(of: .ram)
    return PreflightCheck(
      name: "ram-seals", verdict: isSealed ? .pass : .fail,
      detail: isSealed ? "SHRINK, GROW and SEAL are set" : "guest RAM lacks a seal",
      remedy: isSealed ? "" : "add F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_SEAL to the memfd")
  }

  private func stateFormat() -> PreflightCheck {
    PreflightCheck(
      name: "state-format", verdict: .pass,
      detail: "writes \(GuestInstance.formatName) version \(instance.options.stateFormat), reads "
        + "\(MachineStateFormat.oldest) to \(MachineStateFormat.current)")
  }

  private func devices() -> PreflightCheck {
    PreflightCheck(
      name: "devices", verdict: .pass,
      detail: instance.devices.disk == nil
        ? "no disk; \(instance.names.count) named descriptors travel"
        : "the disk travels with its lock; \(instance.names.count) named descriptors travel")
  }

  private func passthrough() -> PreflightCheck {
    PreflightCheck(
      name: "irqfd-vhost-vfio", verdict: .pass, detail: "this VMM binds none to its VM")
  }

  private func nested() -> PreflightCheck {
    PreflightCheck(name: "nested-state", verdict: .pass, detail: "the guest is offered no nesting")
  }

  private func time() -> PreflightCheck {
    let remarks = instance.machine.remarks
    return PreflightCheck(
      name: "guest-time", verdict: remarks.isEmpty ? .pass : .warn,
      detail: remarks.isEmpty ? "clock and TSC are carried" : remarks.joined(separator: "; "))
  }
}
