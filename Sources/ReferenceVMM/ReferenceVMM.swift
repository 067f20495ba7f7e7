import Baton
import BatonWire
import LinuxOS

/// The reference VMM: comes to the registry, starts a fresh guest or takes one over, and runs it.
public enum ReferenceVMM {
  /// Runs until the guest left this process.
  ///
  /// - Returns: the process's exit status, as ``VMMOutcome`` has it.
  public static func run(_ options: VMMOptions) -> Int32 {
    ThisProcess.ignoreBrokenPipes()
    // This thread has little to do, but then a guest stands still.
    SchedulingSlice.shortest.apply()
    let log: VMMLog
    do {
      try occupyStandardNumbers()
      log = try VMMLog(options)
    } catch {
      StandardStream.error.write("baton-vmm: \(options.guest): opening the event log: \(error)\n")
      return VMMOutcome.failed.exitStatus
    }
    do {
      try ThisProcess.hideMemory()
      let signals = try SignalQueue()
      return try live(options, signals, log).exitStatus
    } catch let error as BatonError {
      log.say("\(error)")
      if case .refused(let refusal, let text) = error {
        log.event("refused", [("refusal", .text("\(refusal)")), ("text", .text(text))])
        return VMMOutcome.refused(refusal).exitStatus
      }
      return VMMOutcome.failed.exitStatus
    } catch {
      log.say("\(error)")
      return VMMOutcome.failed.exitStatus
    }
  }

  /// Which vCPUs the guest gets, and why when they are not the best ones.
  private static func vcpus(_ options: VMMOptions) throws -> (kind: MachineKind, reason: String?) {
    guard options.sev == .model, options.kind != .software, try SEVContext.isCiphertext(options) else {
      return try options.kind.resolve()
    }
    guard options.kind == .auto else {
      throw MachineError.unusableConfiguration(
        "the SEV model really encrypts memory, which real vCPUs cannot read; use --vcpu software")
    }
    return (.software, "the SEV model really encrypts memory: the guest runs on software vCPUs")
  }

  /// Opens what is not open of 0, 1 and 2: nothing else may get these numbers, of which a SEV guest's VMM gives
  /// the first one to the firmware device.
  private static func occupyStandardNumbers() throws(SystemError) {
    while true {
      let opened = try Files.open("/dev/null", .readWrite)
      guard opened.number <= 2 else { return }
      _ = opened.release()
    }
  }

  private static func live(
    _ options: VMMOptions, _ signals: SignalQueue, _ log: VMMLog
  ) throws -> VMMOutcome {
    let (kind, reason) = try vcpus(options)
    if let reason { log.say(reason) }
    log.event(
      "started", [("guest", .text(options.guest)), ("vcpus", .text(kind == .kvm ? "kvm" : "software"))])
    let identity = VMMIdentity(
      registry: options.registry, guest: options.guest, build: options.build,
      reads: ReadableFormats(
        name: GuestInstance.formatName, oldest: MachineStateFormat.oldest, newest: options.stateFormat,
        features: MachineStateFormat.knownFeatures))
    let applicant = try Applicant(
      identity, isFresh: options.isFresh, patienceMilliseconds: options.patienceMilliseconds)
    switch try applicant.awaitAdmission(milliseconds: options.patienceMilliseconds) {
    case .released(let refusal): return log.released(refusal)
    case .offered(let offer):
      return try SuccessorRole(options: options, kind: kind, signals: signals, log: log).take(offer)
    case .firstOwner(let permit):
      let instance = try GuestInstance.fresh(options, kind: kind)
      let epoch = permit.epoch
      let running = try permit.run(manifest: try instance.manifest()) {
        do throws(MachineError) {
          try instance.machine.start()
        } catch {
          log.say("the guest cannot start: \(error)")
        }
        return instance.machine.waitForFirstInstruction(timeoutNanoseconds: 1_000_000_000) ?? 0
      }
      log.event(
        "running",
        [
          ("epoch", .number(epoch)),
          ("firstInstruction", .number(instance.machine.firstInstruction ?? 0)),
        ])
      return try SourceRole(instance: instance, signals: signals, log: log).own(running)
    }
  }
}
