import BatonCore
import BatonWire

/// What the body of a VMM does around its machine.
extension World {
  func manifest(_ vmm: VMM) -> Manifest {
    Manifest(
      way: vmm.way, vcpuCount: 1, files: [], regions: [], hasVM: givesVM(vmm), names: [],
      format: StateFormat(name: "simulated", version: 1, features: 0))
  }

  /// With way `move` the source's VM is the baton and always goes along.
  private func givesVM(_ vmm: VMM) -> Bool {
    switch vmm.way {
    case .none: false
    case .token: settings.hasCustody
    case .move: true
    }
  }

  /// What a source offers, or presents again.
  private func offered(_ vmm: VMM, state: SavedState?) -> Descriptors {
    Descriptors(
      ram: true, state: state, vm: givesVM(vmm) ? vmm.vm : nil,
      contextVMs: vmm.way == .move && settings.hasCustody ? [vmm.takeBackVM].compactMap { $0 } : [])
  }

  /// A successor's own VM, for custody.
  private func ownVM(_ vmm: VMM) -> [Int] {
    vmm.manifest?.way == .move && settings.hasCustody ? [vmm.vm] : []
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
    link.toRegistry.append(Record(from: vmm.id, message: message, descriptors: descriptors))
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
      vmm.isParkAsked = false
      try goOn(vmm, takeContextBack: takeContextBack)
      say(vmm, .resumed(handoff: handoff))
    case .sayResumed(let handoff):
      vmm.preparing = nil
      vmm.isParkAsked = false
      say(vmm, .resumed(handoff: handoff))
    case .takeBack:
      guard let into = vmm.takeBackVM else {
        throw Violation(property: .nothingLost, text: "\(name(vmm.id)) has no VM to take back into")
      }
      vmm.givenVMs = order.descriptors.contextVMs
      if breaks(.trustOldVM), kernel.isIn(vmm.vm) {
        vmm.saying = vmm.source?.tookBack(true)
        return
      }
      let succeeded = try receive(vmm, vmm.saved, into: into)
      if succeeded {
        coverage.count(vmm.way == .move ? .movedBack : .receivedBack)
        vmm.vm = into
        vmm.takeBackVM = nil
        vmm.givenVMs = []
      } else if vmm.way == .move {
        coverage.count(.foundMovedAway)
      }
      vmm.saying = vmm.source?.tookBack(succeeded)
    case .sayTookBack(let handoff): vmm.saying = .tookBack(handoff: handoff)
    case .run(let epoch):
      vmm.isParkAsked = false
      try enter(vmm, from: vmm.saved, epoch: epoch)
      say(vmm, .running(epoch: epoch, firstInstruction: 0))
    case .sayRunning(let epoch): say(vmm, .running(epoch: epoch, firstInstruction: 0))
    case .release:
      // What it leaves behind was in custody that is gone by now.
      if vmm.saved != nil, isCustodyLost { isFaultStep = true }
      exit(vmm)
    }
  }

  /// Custody in the registry's hands dies with it, and custody in the store is nobody's without a journal.
  private var isCustodyLost: Bool {
    host.deaths > 0 && (!settings.storesCustody || settings.mayLoseJournal)
  }

  /// Restart in place: the owner's process is about to be replaced.
  func askToPark(_ vmm: VMM) {
    guard let source = vmm.source else { return }
    parksLeft -= 1
    coverage.count(.parksAsked)
    vmm.isParkAsked = true
    say(vmm, .park(epoch: source.epoch))
  }

  private func takeAsSuccessor(_ vmm: VMM, _ order: Order) throws(Violation) {
    guard let action = vmm.successor?.take(order.message) else { return }
    switch action {
    case .prepare(let handoff, let manifest, _):
      vmm.preparing = handoff
      vmm.manifest = manifest
      vmm.hasRAM = order.descriptors.ram
      vmm.sourceVM = order.descriptors.vm
    case .claim:
      vmm.given = order.descriptors.state
      vmm.givenVMs = order.descriptors.contextVMs
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
    vmm.source = Source(way: vmm.way, epoch: epoch)
    vmm.successor = nil
    vmm.given = nil
    vmm.sourceVM = nil
    vmm.givenVMs = []
    vmm.claimLink = nil
    vmm.preparing = nil
  }

  /// LOCAL_RECEIVE or MOVE. A MOVE waits for vCPUs that run, and moves the context from under them.
  private func receive(_ vmm: VMM, _ state: SavedState?, into vm: Int) throws(Violation) -> Bool {
    for other in vmms where other.isExecuting && vmm.movableVMs.contains(other.vm) && kernel.isIn(other.vm) {
      throw Violation(
        property: .contextIsThere,
        text: "\(name(vmm.id)) moves the context from under \(name(other.id)), which runs it")
    }
    return kernel.receive(state?.token, outOf: vmm.movableVMs, into: vm)
  }

  /// The source goes on in place: nothing has left the process.
  func goOn(_ vmm: VMM, takeContextBack: Bool) throws(Violation) {
    if takeContextBack, let into = vmm.takeBackVM {
      guard try receive(vmm, vmm.saved, into: into) else {
        throw Violation(
          property: .contextIsThere, text: "\(name(vmm.id)) cannot receive a token that never left it")
      }
      vmm.vm = into
      vmm.takeBackVM = nil
    }
    coverage.count(.wentOn)
    vmm.isParkAsked = false
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
      if try receive(vmm, vmm.given, into: vmm.vm) {
        trace("\(name(vmm.id)) has received")
        if vmm.manifest?.way == .move { coverage.count(.moved) }
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
      if let ready = vmm.successor?.prepared(handoff) {
        say(vmm, ready, Descriptors(contextVMs: ownVM(vmm)))
      }
      return
    }
    vmm.takeBackVM = kernel.makeVM()
    vmm.source?.offered(way: vmm.way)
    say(vmm, .offer(handoff: handoff, manifest(vmm)), offered(vmm, state: nil))
  }

  private func work(_ vmm: VMM, as source: Source) throws(Violation) {
    switch source.state {
    case .frozen, .contextSent:
      // The source on its own: a frozen source that lost its registry goes on first.
      guard vmm.isConnected else {
        return try goOn(vmm, takeContextBack: source.state == .contextSent)
      }
      if source.state == .frozen, vmm.way == .token, let saved = vmm.saved {
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
      if kernel.isEncrypted, let into = vmm.takeBackVM {
        guard try receive(vmm, vmm.saved, into: into) else { return }
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
    // An offer that was not answered is void: it comes again.
    if vmm.successor != nil { vmm.preparing = nil }
    if vmm.successor?.state == .attached {
      vmm.hasRAM = false
      vmm.sourceVM = nil
      vmm.givenVMs = []
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
    case .fresh, .running, .tookBack, .arriving, .departing: hello.manifest = manifest(vmm)
    case .attached(let prepared):
      hello.manifest = vmm.manifest ?? manifest(vmm)
      if prepared != 0 { descriptors.contextVMs = ownVM(vmm) }
    case .staged:
      hello.manifest = manifest(vmm)
      descriptors = offered(vmm, state: vmm.saved)
    case .refused(_, let returned):
      if returned != nil {
        hello.manifest = vmm.manifest
        var vms = vmm.givenVMs
        let first = vmm.sourceVM ?? (vms.isEmpty ? nil : vms.removeFirst())
        descriptors = Descriptors(ram: true, state: vmm.given, vm: first, contextVMs: vms)
      }
    case .claiming, .received:
      hello.manifest = vmm.manifest
      descriptors.contextVMs = ownVM(vmm)
    }
    host.links[vmm.id, default: []].append(link)
    trace("\(name(vmm.id)) connects")
    say(vmm, .hello(hello), descriptors)
    if vmm.isParkAsked, case .running(let epoch) = standing { say(vmm, .park(epoch: epoch)) }
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
