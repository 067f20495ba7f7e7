import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// Checks made while the guest runs: what the source finds, and what the registry knows.
extension RegistryDriver {
  /// How long the source may take to answer, in nanoseconds.
  private static let answerLimit: UInt64 = 5_000_000_000

  /// Asks the owner and adds the registry's own checks; changes nothing.
  func preflight(_ guest: GuestName, _ completion: @escaping ([Check]) -> Void) {
    guard let machine = registry[guest], machine.isReachable(machine.record.owner),
      let owner = machine.record.owner,
      let connection = connections[ConnectionKey(guest: guest, process: owner)]
    else {
      completion(merge([], ownChecks(guest), "the source is not connected"))
      return
    }
    let context = context(guest)
    let request = PreflightRequestState { [unowned self] answer in
      let silence =
        answer == nil ? "the source did not answer within 5 s" : "the source's VMM does not check this"
      completion(merge(answer ?? [], ownChecks(guest), silence))
    }
    request.timer = loop.schedule(after: Self.answerLimit) { [weak request, weak context] in
      // The list is what keeps it alive.
      guard let request else { return }
      context?.preflights.removeAll { $0 === request }
      request.complete(nil)
    }
    context.preflights.append(request)
    if context.preflights.count == 1, !connection.send(.preflight) { connectionBroke(connection) }
  }

  /// All checks in their order.
  ///
  /// - Parameter silence: Why a check is missing that neither side made.
  private func merge(_ answer: [PreflightCheck], _ own: [Check], _ silence: String) -> [Check] {
    var checks = own
    for line in answer where !own.contains(where: { $0.name == line.name }) {
      var check = Check(
        .owner, CheckVerdict(line.verdict), line.detail, remedy: line.remedy.isEmpty ? nil : line.remedy)
      check.name = line.name
      checks.append(check)
    }
    let order = CheckName.allCases.map(\.rawValue)
    let missing = CheckName.allCases.filter { name in !checks.contains { $0.name == name.rawValue } }
    checks += missing.map { Check($0, .unknown, silence) }
    func rank(_ check: Check) -> Int { order.firstIndex(of: check.name) ?? order.count }
    return checks.enumerated().sorted { (rank($0.element), $0.offset) < (rank($1.element), $1.offset) }
      .map(\.element)
  }

  private func ownChecks(_ guest: GuestName) -> [Check] {
    guard let machine = registry[guest] else { return [] }
    return [ownerCheck(machine), custodyCheck(guest), fenceCheck(machine), deadlineCheck(guest)]
  }

  private func ownerCheck(_ machine: GuestMachine) -> Check {
    guard let owner = machine.record.owner else {
      return Check(.owner, .fail, "the guest's owner is not known yet", remedy: "wait until its VMM connects")
    }
    guard isOwnerAlive(machine) else {
      return Check(.owner, .fail, "process \(owner.pid) has ended", remedy: "start the guest anew")
    }
    guard machine.isReachable(owner) else {
      return Check(
        .owner, .fail, "process \(owner.pid) is alive, but not connected",
        remedy: "wait until the VMM connects again, or look why it does not")
    }
    guard machine.runConfirmed else {
      return Check(
        .owner, .warn, "process \(owner.pid) has not said yet that it runs epoch \(machine.record.epoch)",
        remedy: "wait a moment")
    }
    return Check(.owner, .pass, "process \(owner.pid) runs the guest in epoch \(machine.record.epoch)")
  }

  private func custodyCheck(_ guest: GuestName) -> Check {
    let context = guests[guest]
    let limit = configuration.quotas.descriptors
    let needed = context?.manifest?.descriptorCount ?? 0
    let used = context?.user.map { custodyCounts[$0, default: 0] } ?? 0
    guard used + needed <= limit else {
      return Check(
        .descriptorStore, .fail,
        "\(needed) descriptors are needed, \(max(0, limit - used)) of \(limit) are free",
        remedy: "wait for other handoffs, or raise --maximum-descriptors")
    }
    // Beside what travels: the registry's own facts, and with way `move` a take-back VM and the successor's.
    let stored = needed + 1 + 2
    if let custodyStore, stored > custodyStore.free {
      return Check(
        .descriptorStore, .fail,
        "up to \(stored) descriptors go into the service manager's store, which has room for \(custodyStore.free) of \(custodyStore.capacity)",
        remedy: "wait for other handoffs, or raise FileDescriptorStoreMax= of batond.service")
    }
    return Check(
      .descriptorStore, .pass, "\(needed) descriptors are needed, \(limit - used) of \(limit) are free")
  }

  private func fenceCheck(_ machine: GuestMachine) -> Check {
    guard let owner = machine.record.owner, let process = processes[owner] else {
      return Check(.fence, .unknown, "there is no process to try it on")
    }
    do throws(SystemError) { try process.checkFence() } catch {
      return Check(
        .fence, .fail, "the registry may not end process \(owner.pid): \(error)",
        remedy: "give batond CAP_KILL, or run it as the VMM's user")
    }
    return Check(.fence, .pass, "the registry may end process \(owner.pid)")
  }

  private func deadlineCheck(_ guest: GuestName) -> Check {
    let context = context(guest)
    let milliseconds = [Deadline.prepare, .freeze, .claim].map { limit(of: $0, context) / 1_000_000 }
    return Check(
      .deadlines, .pass,
      "prepare \(milliseconds[0]) ms, freeze \(milliseconds[1]) ms, claim \(milliseconds[2]) ms, release \(configuration.deadlines.release) ms"
    )
  }
}

extension CheckVerdict {
  init(_ verdict: PreflightCheck.Verdict) {
    switch verdict {
    case .pass: self = .pass
    case .warn: self = .warn
    case .fail: self = .fail
    case .unknown: self = .unknown
    }
  }
}
