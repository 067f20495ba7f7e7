import Baton
import BatonWire
import LinuxOS
import RemoteMigration
import Systemd

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
      let sentence = "opening the event log: \(error)"
      VMMLog.say(.error, sentence, guest: options.guest)
      ServiceManager.failed(status: sentence, code: error.code)
      return VMMOutcome.failed.exitStatus
    }
    let outcome = outcome(options, log)
    switch outcome {
    case .released, .ended: break
    case .failed, .refused:
      let problem = log.problem
      ServiceManager.failed(status: problem?.sentence ?? "\(outcome)", code: problem?.code)
    }
    return outcome.exitStatus
  }

  /// Says what is wrong with the settings of a guest that is not even tried.
  public static func refuse(_ problems: GuestSettings.Problems, guest: String) -> Int32 {
    for sentence in problems.sentences { VMMLog.say(.error, "settings: \(sentence)", guest: guest) }
    ServiceManager.failed(
      status: "settings: " + problems.sentences.joined(separator: "; "), code: nil)
    return VMMOutcome.usageStatus
  }

  private static func outcome(_ options: VMMOptions, _ log: VMMLog) -> VMMOutcome {
    do {
      try ThisProcess.hideMemory()
      let signals = try SignalQueue()
      return try live(options, signals, log)
    } catch let error as BatonError {
      switch error {
      case .refused(let refusal, let text):
        log.fail("\(error): \(refusal.sentence)")
        log.event("refused", [("refusal", .text("\(refusal)")), ("text", .text(text))])
        return .refused(refusal)
      case .system(let cause, doing: _): log.fail("\(error)", code: cause.code)
      case .malformed, .registryUnreachable, .unacceptable, .badState: log.fail("\(error)")
      }
      return .failed
    } catch {
      log.fail("\(error)", code: (error as? SystemError)?.code)
      return .failed
    }
  }

  /// Comes to the registry; nil when the guest is to come from another host.
  private static func apply(
    _ options: VMMOptions, _ identity: VMMIdentity
  ) throws(BatonError) -> Applicant? {
    if options.isIncoming { return nil }
    do throws(BatonError) {
      return try Applicant(
        identity, isFresh: options.isFresh, neverBegins: options.waitsIfAbsent,
        patienceMilliseconds: options.patienceMilliseconds)
    } catch {
      switch error {
      case .refused(.unknownGuest, _), .refused(.guestEnded, _), .refused(.guestLost, _),
        .refused(.departed, _):
        if options.waitsIfAbsent { return nil }
      case .refused, .registryUnreachable, .system, .malformed, .unacceptable, .badState: break
      }
      throw error
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
    let startedAt = MonotonicClock.now()
    let early = try EarlyEnd(signals, log)
    let patience = try TimeoutExtension(limit: longestStart)
    let (kind, reason) = try vcpus(options)
    if let reason { log.say(.notice, reason) }
    log.event(
      "started", [("guest", .text(options.guest)), ("vcpus", .text(kind == .kvm ? "kvm" : "software"))],
      at: startedAt)
    log.status(.waitingForRegistry(path: options.registry))
    let identity = VMMIdentity(
      registry: options.registry, guest: options.guest, build: options.build,
      reads: ReadableFormats(
        name: GuestInstance.formatName, oldest: MachineStateFormat.oldest, newest: options.stateFormat,
        features: MachineStateFormat.knownFeatures))
    let vendor = try VendorCertificates(options)
    guard let applicant = try apply(options, identity) else {
      // From here on this process looks at signals itself.
      early.close()
      return try IncomingRole(
        options: options, vendor: vendor, kind: kind, identity: identity, signals: signals, log: log,
        patience: patience
      ).take()
    }
    if applicant.isSuccessor { log.status(.waitingForDecision) }
    switch try applicant.awaitAdmission(milliseconds: options.patienceMilliseconds) {
    case .released(let refusal): return log.released(refusal)
    case .offered(let offer):
      return try SuccessorRole(
        options: options, kind: kind, signals: signals, log: log, early: early, patience: patience
      ).take(offer)
    case .firstOwner(let permit):
      early.close()
      log.status(.startingGuest)
      log.say(.notice, "nobody has the guest: it is started anew")
      let instance = try GuestInstance.fresh(options, kind: kind)
      let epoch = permit.epoch
      let running = permit.run(manifest: try instance.manifest()) {
        do throws(MachineError) {
          try instance.machine.start()
        } catch {
          log.say(.error, "the guest cannot start: \(error)")
        }
        return instance.machine.waitForFirstInstruction(timeoutNanoseconds: 1_000_000_000) ?? 0
      }
      ServiceManager.ready(status: VMMStatus.runningAnew(epoch: epoch).text)
      patience.stop()
      log.event(
        "running",
        [
          ("epoch", .number(epoch)),
          ("firstInstruction", .number(instance.machine.firstInstruction ?? 0)),
        ])
      return try SourceRole(instance: instance, signals: signals, log: log).own(running)
    }
  }

  /// For how long a service manager is asked for more time to start in, in nanoseconds.
  private static let longestStart: UInt64 = 1_800_000_000_000
}
