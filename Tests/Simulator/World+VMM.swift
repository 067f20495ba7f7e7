import BatonCore
import BatonWire

/// What the body of a VMM does around its machine.
extension World {
  func manifest() -> Manifest {
    Manifest(
      way: settings.way, vcpuCount: 1, files: [], regions: [], hasVM: settings.hasVM, names: [],
      format: StateFormat(name: "simulated", version: 1, features: 0))
  }

  var stage: Stage {
    Stage(
      envelopeByteCount: 64, format: StateFormat(name: "simulated", version: 1, features: 0),
      lastInstruction: 0, freezeStarted: 0, contextSent: 0)
  }

  func say(_ vmm: VMM, _ message: VMMMessage, _ descriptors: Descriptors = .none) {
    guard let link = vmm.link, link.isOpenAtVMM else { return }
    trace("\(name(vmm.id)) -> registry: \(Self.describe(message))")
    guard link.isOpenAtRegistry else { return }
    link.toRegistry.append(Record(message: message, descriptors: descriptors))
  }

  // MARK: Orders

  func takeOrder(_ vmm: VMM) throws(Violation) {
    guard let link = vmm.link, !link.toVMM.isEmpty else { return }
    let order = link.toVMM.removeFirst()
    trace("\(name(vmm.id)) reads \(Self.describe(order.message))")
    if case .refusal(let refusal, _) = order.message {
      refused(vmm, refusal)
    } else if vmm.source != nil {
      try takeAsSource(vmm, order)
    } else {
      try takeAsSuccessor(vmm, order)
    }
  }

  private func refused(_ vmm: VMM, _ refusal: Refusal) {
    coverage.count(.refused)
    vmm.link?.isOpenAtVMM = false
    vmm.link = nil
    // One that came too early may come again; for the others there is nothing to wait for.
    vmm.gaveUp = refusal != .secondSuccessor || isQuiet || !random.once(in: 4)
  }

  private func takeAsSource(_ vmm: VMM, _ order: Order) throws(Violation) {
    guard let action = vmm.source?.take(order.message) else { return }
    switch action {
    case .prepare(let handoff): vmm.preparing = handoff
    case .freeze(let handoff):
      vmm.preparing = nil
      vmm.isExecuting = false
      vmm.saved = SavedState(handoff: handoff, clock: kernel.clock, token: nil)
      vmm.source?.froze()
    case .goOn(let handoff, let takeContextBack):
      try goOn(vmm, takeContextBack: takeContextBack)
      say(vmm, .resumed(handoff: handoff))
    case .sayResumed(let handoff):
      vmm.preparing = nil
      say(vmm, .resumed(handoff: handoff))
    case .takeBack:
      guard let into = vmm.takeBackVM else {
        throw Violation(property: .nothingLost, text: "\(name(vmm.id)) has no VM to take back into")
      }
      let succeeded = kernel.receive(vmm.saved?.token, into: into)
      if succeeded {
        vmm.vm = into
        vmm.takeBackVM = nil
      }
      vmm.saying = vmm.source?.tookBack(succeeded)
    case .sayTookBack(let handoff): vmm.saying = .tookBack(handoff: handoff)
    case .run(let epoch):
      try enter(vmm, from: vmm.saved, epoch: epoch)
      say(vmm, .running(epoch: epoch, firstInstruction: 0))
    case .sayRunning(let epoch): say(vmm, .running(epoch: epoch, firstInstruction: 0))
    case .release: exit(vmm)
    }
  }

  private func takeAsSuccessor(_ vmm: VMM, _ order: Order) throws(Violation) {
    guard let action = vmm.successor?.take(order.message) else { return }
    switch action {
    case .prepare(let handoff, let manifest):
      vmm.preparing = handoff
      vmm.manifest = manifest
      vmm.hasRAM = order.descriptors.ram
      vmm.sourceVM = order.descriptors.vm
    case .claim:
      vmm.given = order.descriptors.state
      vmm.claimLink = vmm.link
    case .run(let epoch, let isFresh):
      if isFresh, settings.breakage == nil, vmm.hasRAM {
        throw Violation(property: .newestState, text: "a prepared successor is told to begin afresh")
      }
      if isFresh { launch(vmm) }
      try enter(vmm, from: isFresh ? nil : vmm.given, epoch: epoch)
      becomeSource(vmm, epoch: epoch)
      say(vmm, .running(epoch: epoch, firstInstruction: 0))
    case .release: exit(vmm)
    }
  }

  private func launch(_ vmm: VMM) {
    vmm.hasRAM = true
    kernel.launch(in: vmm.vm)
  }

  private func becomeSource(_ vmm: VMM, epoch: UInt64) {
    vmm.source = Source(way: settings.way, epoch: epoch)
    vmm.successor = nil
    vmm.given = nil
    vmm.sourceVM = nil
    vmm.claimLink = nil
    vmm.preparing = nil
  }

  /// The source goes on in place: nothing has left the process.
  func goOn(_ vmm: VMM, takeContextBack: Bool) throws(Violation) {
    if takeContextBack, let into = vmm.takeBackVM {
      guard kernel.receive(vmm.saved?.token, into: into) else {
        throw Violation(
          property: .contextIsThere, text: "\(name(vmm.id)) cannot receive a token that never left it")
      }
      vmm.vm = into
      vmm.takeBackVM = nil
    }
    coverage.count(.wentOn)
    vmm.source?.wentOn()
    try enter(vmm, from: vmm.saved, epoch: nil)
  }

  // MARK: What it does by itself

  func hasWork(_ vmm: VMM) -> Bool {
    if vmm.saying != nil { return true }
    if vmm.preparing != nil { return true }
    if let source = vmm.source {
      switch source.state {
      case .frozen, .contextSent: return true
      case .staged:
        return breaks(.goOnAfterStage) || (breaks(.resumeWithoutVerdict) && !vmm.isConnected)
      case .running, .tookBack, .released: return false
      }
    }
    switch vmm.successor?.state {
    case .claiming: return true
    case .received: return breaks(.resumeWithoutVerdict) && !vmm.isConnected
    case .attached, .prepared, .refused, .running, .released, nil: return false
    }
  }

  func work(_ vmm: VMM) throws(Violation) {
    if let message = vmm.saying {
      vmm.saying = nil
      say(vmm, message)
    } else if let handoff = vmm.preparing {
      vmm.preparing = nil
      prepare(vmm, handoff)
    } else if let source = vmm.source {
      try work(vmm, as: source)
    } else if case .received = vmm.successor?.state {
      trace("\(name(vmm.id)) enters without a verdict")
      try enter(vmm, from: vmm.given, epoch: nil)
      becomeSource(vmm, epoch: 0)
    } else if case .claiming = vmm.successor?.state {
      if kernel.receive(vmm.given?.token, into: vmm.vm) {
        trace("\(name(vmm.id)) has received")
        vmm.saying = vmm.successor?.received()
      } else {
        trace("\(name(vmm.id)) found the baton used")
        coverage.count(.foundUsed)
        vmm.saying = vmm.successor?.foundUsed()
      }
    }
  }

  private func prepare(_ vmm: VMM, _ handoff: UInt64) {
    guard vmm.source != nil else {
      if let ready = vmm.successor?.prepared(handoff) { say(vmm, ready) }
      return
    }
    vmm.takeBackVM = kernel.makeVM()
    say(
      vmm, .offer(handoff: handoff, manifest()),
      Descriptors(ram: true, state: nil, vm: settings.hasVM ? vmm.vm : nil))
  }

  private func work(_ vmm: VMM, as source: Source) throws(Violation) {
    switch source.state {
    case .frozen, .contextSent:
      // The source on its own: a frozen source that lost its registry goes on first.
      guard vmm.isConnected else {
        return try goOn(vmm, takeContextBack: source.state == .contextSent && settings.way == .token)
      }
      if source.state == .frozen, settings.way == .token, let saved = vmm.saved {
        guard let token = kernel.localSend(from: vmm.vm, handoff: saved.handoff) else {
          throw Violation(property: .contextIsThere, text: "\(name(vmm.id)) gives up what it has not")
        }
        vmm.saved = SavedState(handoff: saved.handoff, clock: saved.clock, token: token)
        vmm.source?.gaveUpContext()
      } else {
        vmm.source?.staged(stage)
        say(
          vmm, .stage(handoff: source.handoff, stage),
          Descriptors(ram: false, state: vmm.saved, vm: nil))
      }
    case .staged:
      trace("\(name(vmm.id)) goes on although it has staged")
      if kernel.way == .token, let into = vmm.takeBackVM {
        guard kernel.receive(vmm.saved?.token, into: into) else { return }
        vmm.vm = into
      }
      try enter(vmm, from: vmm.saved, epoch: nil)
    case .running, .tookBack, .released: break
    }
  }

  // MARK: Connections

  func canConnect(_ vmm: VMM) -> Bool {
    guard host.isUp, !vmm.isConnected else { return false }
    // What came over the old connection before it broke is read first.
    if let link = vmm.link, link.isOpenAtVMM, !link.toVMM.isEmpty { return false }
    return standing(vmm) != nil
  }

  func standing(_ vmm: VMM) -> Standing? { vmm.source?.standing ?? vmm.successor?.standing }

  func connect(_ vmm: VMM) {
    guard var standing = standing(vmm) else { return }
    let isRenewed = vmm.link != nil
    vmm.link?.isOpenAtVMM = false
    let link = Link()
    if breaks(.deliverStaleRecords), let old = vmm.link { link.toVMM = old.toVMM }
    vmm.link = link
    vmm.saying = nil
    if vmm.successor?.state == .attached {
      // An offer that was not answered is void: it comes again.
      vmm.preparing = nil
      vmm.hasRAM = false
      vmm.sourceVM = nil
    }
    if breaks(.forgetStanding), isRenewed {
      standing = vmm.source.map { .running($0.epoch) } ?? .attached(prepared: 0)
    }
    var hello = Hello(
      guest: guest.text, standing: standing, build: "",
      reads: ReadableFormats(
        name: vmm.isIlliterate ? "nothing" : "simulated", oldest: 1, newest: 1, features: 0))
    var descriptors = Descriptors.none
    switch standing {
    case .fresh, .attached, .running, .tookBack: hello.manifest = manifest()
    case .staged:
      hello.manifest = manifest()
      descriptors = Descriptors(ram: true, state: vmm.saved, vm: settings.hasVM ? vmm.vm : nil)
    case .refused(_, let returned):
      if returned != nil {
        hello.manifest = vmm.manifest
        descriptors = Descriptors(ram: true, state: vmm.given, vm: vmm.sourceVM)
      }
    case .claiming, .received: break
    }
    host.links[vmm.id, default: []].append(link)
    trace("\(name(vmm.id)) connects")
    say(vmm, .hello(hello), descriptors)
  }

  /// KVM_RUN.
  func enter(_ vmm: VMM, from saved: SavedState?, epoch: UInt64?) throws(Violation) {
    trace("\(name(vmm.id)) enters the guest, epoch \(epoch.map(String.init) ?? "unchanged")")
    try checkEntry(vmm, from: saved, epoch: epoch)
    kernel.clock += 1
    vmm.isExecuting = true
    vmm.saved = nil
  }
}
